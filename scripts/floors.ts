/**
 * Which part of `src/` may import which. A room (a folder, or a few files that belong together)
 * stands on a floor; it imports from lower floors and from itself, never from its neighbours.
 */

/** One import as it is written in a file. */
export interface Import {
  /** Path of the importing file below the project's root, with `/`. */
  readonly file: string;
  /** Line of the module name, from 1. */
  readonly line: number;
  /** What stands between the quotes. */
  readonly specifier: string;
  /** The names taken, where the import lists them; empty for a whole module or a side effect. */
  readonly names: readonly string[];
}

/** What is wrong, and where. */
export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

interface Room {
  readonly name: string;
  readonly floor: number;
}

/** Folders of `src/`, each with its floor. */
const FOLDERS: Readonly<Record<string, number>> = {
  base: 0,
  mail: 1,
  config: 1,
  accept: 2,
  policy: 2,
  scan: 2,
  spool: 2,
  sign: 2,
  keys: 2,
  relay: 2,
  share: 2,
  admin: 2,
};

/** Files right in `src/`, and `cli/`, which is one room with the wiring; the first that fits. */
const TOP: readonly { pattern: RegExp; room: Room }[] = [
  { pattern: /^(cli\/|(cli|server)(-[a-z-]+)?\.ts$)/, room: { name: 'cli', floor: 4 } },
  { pattern: /^[^/]+\.ts$/, room: { name: 'transaction', floor: 3 } },
];

/** Rooms that decide and describe, and therefore do no I/O. */
const PURE_ROOMS: ReadonlySet<string> = new Set(['mail', 'policy']);
const IO_MODULES: ReadonlySet<string> = new Set(
  'child_process cluster dgram dns fs http http2 https net tls worker_threads'.split(' '),
);

/** What those modules offer besides I/O: arithmetic on addresses. */
const HARMLESS_NAMES: ReadonlySet<string> = new Set(
  'BlockList SocketAddress isIP isIPv4 isIPv6'.split(' '),
);

/** Longest file that is let pass; a longer one wants a second idea. */
export const MAX_LINES = 500;

/** Checks the imports of files below `src/`; those of other files are free. */
export function checkImports(imports: readonly Import[]): Violation[] {
  return imports.flatMap((entry) => {
    const message = importFault(entry);
    return message === undefined ? [] : [{ file: entry.file, line: entry.line, message }];
  });
}

/** Checks that each file below `src/` has a floor, and the length of every file. */
export function checkFiles(files: ReadonlyMap<string, number>): Violation[] {
  const violations: Violation[] = [];
  for (const [file, lines] of files) {
    if (file.startsWith('src/') && roomOf(file) === undefined) {
      const message = 'has no floor; give its folder one in scripts/floors.ts';
      violations.push({ file, line: 1, message });
    }
    if (lines > MAX_LINES) {
      const message = `has ${lines} lines, ${MAX_LINES} are the most; find the second idea in it`;
      violations.push({ file, line: MAX_LINES + 1, message });
    }
  }
  return violations;
}

function importFault({ file, specifier, names }: Import): string | undefined {
  const room = file.startsWith('src/') ? roomOf(file) : undefined;
  if (room === undefined) return undefined;
  if (!specifier.startsWith('.')) {
    const module = specifier.replace(/^node:/, '').split('/', 1)[0] ?? '';
    if (!PURE_ROOMS.has(room.name) || !IO_MODULES.has(module)) return undefined;
    if (names.length > 0 && names.every((name) => HARMLESS_NAMES.has(name))) return undefined;
    return `${room.name}/ does no I/O, so it must not import ${specifier}`;
  }
  const targetFile = resolvePath(file, specifier);
  if (!targetFile.startsWith('src/')) {
    // The command line reads the version from package.json.
    if (room.floor === 4 && targetFile === 'package.json') return undefined;
    return `must not import ${specifier}, which lies outside src/`;
  }
  const target = roomOf(targetFile);
  if (target === undefined || target.name === room.name || target.floor < room.floor) {
    return undefined;
  }
  return (
    `${room.name} (floor ${room.floor}) must not import ${specifier}: ` +
    `${target.name} is on floor ${target.floor}`
  );
}

function roomOf(file: string): Room | undefined {
  const path = file.slice('src/'.length);
  const folder = path.split('/', 1)[0] ?? '';
  const floor = path.includes('/') && Object.hasOwn(FOLDERS, folder) ? FOLDERS[folder] : undefined;
  if (floor !== undefined) return { name: folder, floor };
  return TOP.find(({ pattern }) => pattern.test(path))?.room;
}

function resolvePath(fromFile: string, specifier: string): string {
  return new URL(specifier, `file:///${fromFile}`).pathname.slice(1);
}
