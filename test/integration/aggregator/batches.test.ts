// What becomes of batches as they should not be, at the real program with an SQLite file. The cases: test/support/batch-cases.ts, which has
// ACCEPTANCE 34 and ACCEPTANCE 36.
import { describeBatches } from '../../support/batch-cases.js'

describeBatches('sqlite')
