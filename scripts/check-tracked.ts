/**
 * Lint: no tracked file names a package registry or a place on somebody's machine. The hosts are
 * asked of the tools' own settings, so the list is right wherever this runs and stands nowhere.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

const root = resolve(process.argv[2] ?? join(import.meta.dirname, '..'));

const forbidden = [
  ...hostsOf(answerOf('npm', ['config', 'get', 'registry'])),
  ...hostsOf(answerOf('go', ['env', 'GOPROXY'])),
  ...hostsOf(answerOf('pip', ['config', 'list'])),
  ...hostsOf(answerOf('apt-get', ['indextargets', '--format', '$(SITE)'])),
  // The well-known ones, each in two pieces so that this file passes its own check.
  ...['npmjs', 'yarnpkg', 'golang', 'debian', 'pythonhosted'].flatMap((name) =>
    ['registry', 'proxy', 'deb', 'files', 'security'].map((host) => `${host}.${name}.`),
  ),
  `${resolve(root)}/`,
  ...['root', 'work', 'home', 'Users'].map((folder) => `/${folder}/`),
  ...(homedir() === '/' ? [] : [`${homedir()}/`]),
];

const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '');
let faults = 0;
for (const file of files) {
  for (const [index, line] of linesOf(file).entries()) {
    const found = forbidden.find((text) => namesPlace(line, text));
    if (found === undefined) continue;
    faults += 1;
    process.stdout.write(`${file}:${index + 1}: names a registry or a machine's path: ${found}\n`);
  }
}
process.stdout.write(`tracked: ${files.length} files read, ${faults} with foreign places\n`);
process.exitCode = faults > 0 || files.length === 0 ? 1 : 0;

/** A path counts where it starts, not in the middle of `src/home/x` or of a URL. */
function namesPlace(line: string, text: string): boolean {
  const at = line.indexOf(text);
  if (at < 0) return false;
  return !text.startsWith('/') || at === 0 || /[\s'"`=:(,[]/.test(line[at - 1] ?? '');
}

function linesOf(file: string): string[] {
  try {
    return readFileSync(join(root, file), 'utf8').split('\n');
  } catch {
    return []; // Deleted in the work tree, or a link that leads nowhere.
  }
}

function answerOf(command: string, args: string[]): string {
  return spawnSync(command, args, { encoding: 'utf8' }).stdout ?? '';
}

function hostsOf(text: string): string[] {
  const hosts = [...text.matchAll(/https?:\/\/(?:[^\s/@]*@)?([^\s/:,|]+)/g)].map(
    (match) => match[1],
  );
  return [...new Set(hosts)].filter((host) => host !== undefined);
}
