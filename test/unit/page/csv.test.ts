import { describe, expect, it } from 'vitest'
import { csvOf } from '../../../src/page/csv.js'

describe('a file for spreadsheets', () => {
  it.each([
    ['plain', 'plain'],
    ['a,b', '"a,b"'],
    ['say "hi"', '"say ""hi"""'],
    ['two\nlines', '"two\nlines"'],
    ['=HYPERLINK("http://x")', '"\'=HYPERLINK(""http://x"")"'],
    ['+1', "'+1"],
    ['-1', "'-1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    [-1.5, '-1.5'],
    [null, ''],
  ])('%j', (cell, field) => expect(csvOf(['head'], [[cell]])).toBe(`head\r\n${field}\r\n`))
})
