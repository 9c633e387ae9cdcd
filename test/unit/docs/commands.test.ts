import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import { registerKeys } from '../../../src/cli/keys.ts';

const ROOT = path.join(import.meta.dirname, '../../..');
const DOCS = ['README.md', 'keys/README.md', 'helm/waxseal/README.md', 'docs/operations.md'].concat(
  ['docs/kms.md', 'docs/rotation.md', 'docs/emergency.md', 'docs/security.md'],
);

describe('commands in the documents', () => {
  const commands = keysCommands();
  const named = DOCS.flatMap((file) => usesIn(file));

  it('are found at all', () => {
    assert.ok(named.length > 30);
  });

  for (const { file, line, command, options } of named) {
    it(`${file}:${line}: waxseal keys ${command} ${options.join(' ')}`, () => {
      const found = commands.get(command);
      assert.ok(found !== undefined, `there is no command "keys ${command}"`);
      const unknown = options.filter(
        (option) => !found.options.some(({ long }) => long === option),
      );
      assert.deepEqual(unknown, []);
    });
  }

  it('stand in documents whose links lead somewhere', () => {
    for (const file of [
      ...DOCS,
      ...readdirSync(path.join(ROOT, 'docs')).map((name) => `docs/${name}`),
    ]) {
      if (!file.endsWith('.md')) continue;
      for (const [, target = ''] of read(file).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
        if (/^https?:/.test(target)) continue;
        assert.ok(existsSync(path.join(ROOT, path.dirname(file), target)), `${file}: ${target}`);
      }
    }
  });
});

interface Use {
  readonly file: string;
  readonly line: number;
  readonly command: string;
  readonly options: readonly string[];
}

/** `waxseal keys COMMAND --options` in code blocks and between backticks. */
function usesIn(file: string): Use[] {
  return read(file)
    .split('\n')
    .flatMap((text, index) =>
      [...text.matchAll(/waxseal keys ([a-z][a-z-]*)([^`#]*)/g)].map((match) => ({
        file,
        line: index + 1,
        command: match[1] ?? '',
        options: [...(match[2] ?? '').matchAll(/--[a-z][a-z-]*/g)].map(([option]) => option),
      })),
    );
}

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

function keysCommands(): ReadonlyMap<string, Command> {
  const program = new Command('waxseal');
  const nothing = () => {};
  const loadConfig = async () => {
    throw new Error('not loaded here');
  };
  registerKeys(program, {
    stdout: nothing,
    stderr: nothing,
    isTty: false,
    loadConfig,
    setExitCode: nothing,
  });
  const keys = program.commands.find((command) => command.name() === 'keys');
  return new Map(
    (keys?.commands ?? []).flatMap((command) =>
      [command.name(), ...command.aliases()].map((name) => [name, command] as const),
    ),
  );
}
