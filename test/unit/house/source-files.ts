// The product's source as its own tests read it: files, imports and exported names, by the compiler's own parser.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

export const root = join(import.meta.dirname, '../../..')

export interface Import {
  /** As written: "../base/ids.js", "node:fs". */
  readonly from: string
  /** Nothing of it is left at run time. */
  readonly isTypeOnly: boolean
}

export interface SourceFile {
  /** Below src/: "run/gate.ts". */
  readonly path: string
  readonly room: string
  readonly text: string
  readonly ast: ts.SourceFile
  readonly imports: readonly Import[]
  readonly exportedNames: readonly string[]
}

export const sourcePaths: readonly string[] = readdirSync(join(root, 'src'), {
  recursive: true,
  encoding: 'utf8',
}).sort()

export const sourceFiles: readonly SourceFile[] = sourcePaths
  .filter((path) => path.endsWith('.ts'))
  .map((path) => {
    const text = readFileSync(join(root, 'src', path), 'utf8')
    const ast = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
    const room = path.split('/')[0] ?? ''
    return { path, room, text, ast, imports: importsOf(ast), exportedNames: exportsOf(ast) }
  })

/** Every node of a file, parents first. */
export function* nodesOf(node: ts.Node): Generator<ts.Node> {
  yield node
  for (const child of node.getChildren()) yield* nodesOf(child)
}

function importsOf(ast: ts.SourceFile): readonly Import[] {
  const imports: Import[] = []
  for (const node of nodesOf(ast)) {
    if (ts.isImportDeclaration(node))
      imports.push({ from: textOf(node.moduleSpecifier), isTypeOnly: isTypeImport(node) })
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined)
      imports.push({ from: textOf(node.moduleSpecifier), isTypeOnly: node.isTypeOnly })
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      imports.push({ from: textOf(node.arguments[0]), isTypeOnly: false })
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      imports.push({ from: textOf(node.argument.literal), isTypeOnly: true })
  }
  return imports
}

/** Also `import { type A, type B }`, of which nothing but a side effect is left. */
function isTypeImport({ importClause }: ts.ImportDeclaration): boolean {
  if (importClause === undefined) return false
  if (importClause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true
  const { name, namedBindings } = importClause
  if (name !== undefined || namedBindings === undefined || ts.isNamespaceImport(namedBindings))
    return false
  return namedBindings.elements.every((element) => element.isTypeOnly)
}

function textOf(node: ts.Node | undefined): string {
  if (node === undefined || !ts.isStringLiteralLike(node))
    throw new Error(`an import that cannot be read: ${node?.getText() ?? ''}`)
  return node.text
}

function exportsOf(ast: ts.SourceFile): readonly string[] {
  return ast.statements.flatMap((statement) => {
    if (ts.isExportDeclaration(statement)) {
      const { exportClause } = statement
      return exportClause !== undefined && ts.isNamedExports(exportClause)
        ? exportClause.elements.map(({ name }) => name.text)
        : []
    }
    const isExported =
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true
    if (!isExported) return []
    if (ts.isVariableStatement(statement))
      return statement.declarationList.declarations.map(({ name }) => name.getText())
    const { name } = statement as ts.DeclarationStatement
    return name === undefined ? [] : [name.getText()]
  })
}
