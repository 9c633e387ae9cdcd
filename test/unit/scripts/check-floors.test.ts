import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const CHECKER = join(import.meta.dirname, '../../../scripts/check-floors.ts');
const MODULES = join(import.meta.dirname, '../../../node_modules');

describe('scripts/check-floors', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'waxseal-floors-'));
    symlinkSync(MODULES, join(root, 'node_modules'));
    const compilerOptions = {
      module: 'nodenext',
      noEmit: true,
      allowImportingTsExtensions: true,
      types: ['node'],
    };
    write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src', 'test'] }));
    write('package.json', '{ "type": "module", "version": "1.0.0" }');
  });

  afterEach(() => rmSync(root, { recursive: true }));

  function write(path: string, text: string): void {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }

  function check(): { code: number | null; lines: string[] } {
    const result = spawnSync(process.execPath, [CHECKER, root], { encoding: 'utf8' });
    return { code: result.status, lines: result.stdout.trim().split('\n').slice(0, -1) };
  }

  it('passes imports from lower floors and from the same room', () => {
    write('src/base/clock.ts', 'export const now = 1;');
    write(
      'src/mail/reply.ts',
      "import { now } from '../base/clock.ts';\nexport const reply = now;",
    );
    write('src/mail/address.ts', "import { isIPv4 } from 'node:net';\nexport { isIPv4 };");
    write('src/relay/leg.ts', "import { now } from '../base/clock.ts';\nexport { now };");
    write('src/relay/deep/dot.ts', "import { now } from '../leg.ts';\nexport { now };");
    write('src/transaction.ts', "import { now } from './relay/leg.ts';\nexport { now };");
    write('src/server.ts', "import { now } from './transaction.ts';\nexport { now };");
    write('src/cli/serve.ts', "import { now } from '../server.ts';\nexport { now };");
    write('src/cli.ts', "import './cli/serve.ts';\nexport {};");
    write('test/any.test.ts', "import '../src/cli.ts';\nimport '../src/relay/leg.ts';");
    assert.deepEqual(check(), { code: 0, lines: [] });
  });

  it('names file and line of an upward, a sideways and an outward import', () => {
    write('src/relay/leg.ts', 'export interface Leg { host: string }');
    write('src/base/clock.ts', "// '../mail/no.ts'\nimport type { Leg } from '../relay/leg.ts';");
    write('src/sign/sign.ts', "\n\nexport * from '../relay/leg.ts';");
    write('src/accept/session.ts', "const a = await import('../relay/leg.ts');\nexport { a };");
    write('src/accept/late.ts', "export type Leg = import('../relay/leg.ts').Leg;");
    write('src/share/ledger.ts', "import '../../test/fake.ts';");
    write('test/fake.ts', 'export {};');
    const { code, lines } = check();
    assert.equal(code, 1);
    assert.deepEqual(lines.sort(), [
      'src/accept/late.ts:1: accept (floor 2) must not import ../relay/leg.ts: relay is on floor 2',
      'src/accept/session.ts:1: accept (floor 2) must not import ../relay/leg.ts: relay is on floor 2',
      'src/base/clock.ts:2: base (floor 0) must not import ../relay/leg.ts: relay is on floor 2',
      'src/share/ledger.ts:1: must not import ../../test/fake.ts, which lies outside src/',
      'src/sign/sign.ts:3: sign (floor 2) must not import ../relay/leg.ts: relay is on floor 2',
    ]);
  });

  it('keeps I/O out of mail/ and policy/, with and without the node: prefix', () => {
    write('src/mail/a.ts', "import { connect, isIP } from 'node:net';\nexport { connect, isIP };");
    write('src/policy/b.ts', "import { readFile } from 'fs/promises';\nexport { readFile };");
    write('src/policy/c.ts', "import * as net from 'node:net';\nexport { net };");
    write('src/spool/d.ts', "import { open } from 'node:fs/promises';\nexport { open };");
    const { code, lines } = check();
    assert.equal(code, 1);
    assert.deepEqual(lines.sort(), [
      'src/mail/a.ts:1: mail/ does no I/O, so it must not import node:net',
      'src/policy/b.ts:1: policy/ does no I/O, so it must not import fs/promises',
      'src/policy/c.ts:1: policy/ does no I/O, so it must not import node:net',
    ]);
  });

  it('refuses a folder without a floor and a file of more than 500 lines', () => {
    write('src/helpers/all.ts', 'export {};\n');
    write('src/base/long.ts', `export {};\n${'// line\n'.repeat(500)}`);
    write('src/base/full.ts', `export {};\n${'// line\n'.repeat(499)}`);
    const { code, lines } = check();
    assert.equal(code, 1);
    assert.deepEqual(lines.sort(), [
      'src/base/long.ts:501: has 501 lines, 500 are the most; find the second idea in it',
      'src/helpers/all.ts:1: has no floor; give its folder one in scripts/floors.ts',
    ]);
  });

  it('fails when it found nothing to read', () => {
    write('test/any.test.ts', 'export {};');
    assert.equal(check().code, 1);
  });
});
