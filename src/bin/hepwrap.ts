#!/usr/bin/env node
// The client: everything is in cli/. An explicit exit: whatever is still open then belongs to a run that is over.
import { main } from '../cli/main.js'

process.exit(await main(process.argv.slice(2)))
