// Weeks and months out of days, once they are over (see `Folded`), as SQL for both databases.
import { USAGE_SUMS } from '../wire/usage-sums.js'
import type { Dialect } from './dialect.js'
import { GRAINS } from './periods.js'
import type { Folded } from './rollup.js'
import { periodOf, type Sql } from './usage-sql.js'

export function foldSql(grain: keyof Folded, from: number, to: number, dialect: Dialect): Sql {
  const binding = dialect.binding()
  const sums = USAGE_SUMS.map((field) => dialect.wholeSum(`r.${field}`))
  const text = `INSERT INTO rollups (grain, entity, period, ${USAGE_SUMS.join(', ')})
    SELECT ${GRAINS[grain]}, r.entity, ${periodOf(grain, 'day', dialect)}, ${sums.join(', ')}
    FROM entities AS e ${dialect.join} rollups AS r ON r.grain = ${GRAINS.day} AND r.entity = e.id
      AND r.period >= ${binding.bind(from)} AND r.period < ${binding.bind(to)}
    GROUP BY r.entity, ${periodOf(grain, 'day', dialect)}`
  return { text, values: binding.values }
}
