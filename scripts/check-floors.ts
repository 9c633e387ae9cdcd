/**
 * Lint: floors of `src/` (see `floors.ts`) and the length of every TypeScript file.
 * `node scripts/check-floors.ts [ROOT]` prints `file:line: message` for each violation, exit code 1.
 */
import { readFileSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { isImportDeclaration, isNamedImports, type Node } from 'typescript/unstable/ast';
import { API } from 'typescript/unstable/sync';
import { checkFiles, checkImports, type Import } from './floors.ts';

const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'));

// The compiler itself reads the imports, so comments, strings and type-only imports are no riddle.
const compiler = new API({ cwd: root });
const imports: Import[] = [];
const lineCounts = new Map<string, number>();
try {
  const snapshot = compiler.updateSnapshot({ openProjects: [join(root, 'tsconfig.json')] });
  const program = snapshot.getProjects()[0]?.program;
  if (program === undefined) throw new Error(`no project was opened at ${root}/tsconfig.json`);
  for (const path of program.getSourceFileNames()) {
    const file = relative(root, path).split(sep).join('/');
    if (file.startsWith('../') || file.startsWith('node_modules/')) continue;
    const source = program.getSourceFile(path);
    if (source === undefined) throw new Error(`the compiler has no source of ${file}`);
    const text = readFileSync(path, 'utf8');
    lineCounts.set(file, text.split('\n').length - 1);
    for (const node of source.imports) {
      const literal = node.getText(source);
      const line = text.slice(0, node.getStart(source)).split('\n').length;
      imports.push({ file, line, specifier: literal.slice(1, -1), names: namesTaken(node.parent) });
    }
  }
} finally {
  compiler.close();
}

const violations = [...checkImports(imports), ...checkFiles(lineCounts)];
for (const { file, line, message } of violations) {
  process.stdout.write(`${file}:${line}: ${message}\n`);
}
const sources = [...lineCounts.keys()].filter((file) => file.startsWith('src/')).length;
process.stdout.write(
  `floors: ${imports.length} imports of ${lineCounts.size} files read (${sources} in src/), ` +
    `${violations.length} violations\n`,
);
// A checker that read nothing has proved nothing.
process.exitCode = violations.length > 0 || sources === 0 ? 1 : 0;

function namesTaken(statement: Node): string[] {
  if (!isImportDeclaration(statement)) return [];
  const clause = statement.importClause;
  if (clause?.name !== undefined) return [];
  const bindings = clause?.namedBindings;
  if (bindings === undefined || !isNamedImports(bindings)) return [];
  return bindings.elements.map((element) => (element.propertyName ?? element.name).text);
}
