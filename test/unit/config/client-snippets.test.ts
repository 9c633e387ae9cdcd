import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { requireExim } from '../../support/exim.ts';
import { requirePeer } from '../../support/peers.ts';
import { build } from './build.ts';

const run = promisify(execFile);
const folder = (name: string) => fileURLToPath(new URL(`../../../config/${name}`, import.meta.url));

/** The service that every transport of these snippets needs around it. */
const BASE_MASTER_CF = 'smtp unix - - n - - smtp\n';

describe('configuration of mail servers in front of Waxseal', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'waxseal-snippets-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  it('Postfix knows every line, and the transport is scheduled by recipient', async function () {
    const postconf = requirePeer(this, 'postconf');
    const main = await readFile(`${folder('postfix')}/main.cf`, 'utf8');
    const auth = await readFile(`${folder('postfix')}/with-auth.cf`, 'utf8');
    const master = await readFile(`${folder('postfix')}/master.cf`, 'utf8');
    await writeFile(join(dir, 'master.cf'), BASE_MASTER_CF + master);
    for (const [text, transport] of [
      [main, 'waxseal:[127.0.0.1]:2525'],
      [main.replace(/^default_transport.*$/m, '') + auth, 'waxseal:[relay.example.com]:587'],
    ] as const) {
      await writeFile(
        join(dir, 'main.cf'),
        `compatibility_level = 3.6\nmyhostname = lan.example.com\n${text}`,
      );
      const settings = await run(postconf, ['-c', dir, '-n']);
      assert.equal(settings.stderr, '', 'postconf warns of unknown and unused settings');
      assert.ok(settings.stdout.includes(`default_transport = ${transport}\n`));
      assert.match(settings.stdout, /^waxseal_destination_recipient_limit = 1$/m);
    }
    const service = await run(postconf, ['-c', dir, '-M', 'waxseal/unix']);
    assert.equal(service.stderr, '');
    const columns = service.stdout.split(/\s+/);
    assert.deepEqual(
      [columns[0], columns[1], columns[6], columns[7]],
      ['waxseal', 'unix', '300', 'smtp'],
    );
    assert.ok(Number(columns[6]) < build('').config.limits.sessionsPerClient);
  });

  it('Postfix lowers none of its time limits', async () => {
    for (const name of ['main.cf', 'master.cf', 'with-auth.cf']) {
      const text = await readFile(`${folder('postfix')}/${name}`, 'utf8');
      assert.doesNotMatch(text, /^[^#]*_timeout\s*=/m, name);
    }
  });

  it('Exim takes the router and the transport', async function () {
    const exim = await requireExim(this);
    const text = await readFile(`${folder('exim')}/waxseal.conf`, 'utf8');
    const conf = join(dir, 'exim.conf');
    const main = 'exim_user = nobody\nexim_group = nogroup\ndomainlist local_domains = localhost\n';
    await writeFile(conf, `${main}log_file_path = ${dir}/%slog\nspool_directory = ${dir}\n${text}`);
    const route = await run(exim, ['-C', conf, '-bt', 'someone@example.net']);
    assert.match(route.stdout, /router = waxseal, transport = waxseal/);
    assert.match(route.stdout, /host 127\.0\.0\.1/);
    const { stdout } = await run(exim, ['-C', conf, '-bP', 'transport', 'waxseal']);
    for (const line of ['no_multi_domain', 'max_rcpt = 1', 'final_timeout = 10m', 'port = 2525']) {
      assert.ok(stdout.includes(`${line}\n`), `${line} in:\n${stdout}`);
    }
  });
});
