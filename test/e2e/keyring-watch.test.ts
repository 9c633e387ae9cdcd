import assert from 'node:assert/strict';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MailLab } from '../support/mail-lab.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';

const DAY_MS = 86_400_000;
const MESSAGE = Buffer.from(
  'From: author@signer.test\r\nTo: a@sink.test\r\nSubject: hello\r\n\r\nbody\r\n',
);
const MAIL = ['a@signer.test', ['a@sink.test'], MESSAGE] as const;

describe('waxseal serve, while its keyring changes', function () {
  this.timeout(60_000);
  let lab: MailLab;
  let client: RawClient;

  beforeEach(async () => {
    // What an operator has who sets nothing: `keys` in the working directory, watched.
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test'], { keys: {} });
    client = await RawClient.session(lab.waxseal.port);
  });
  afterEach(async () => {
    client?.close();
    await lab?.stop();
  });

  it('reports what it can use, and says which records DNS does not show', async () => {
    await lab.stop();
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test'], { keys: { recheckMs: 1000 } });
    const folder = join(lab.waxseal.dir, 'keys', 'relays');
    await lab.waxseal.cli('keys', 'create', 'signer.test');
    const written = await readFile(manifest(), 'utf8');
    const generation = Number(/^generation: (\d+)$/m.exec(written)?.[1]);
    await waitFor('the report on the new keys', async () => {
      const [name = ''] = await readdir(folder);
      const report = JSON.parse(await readFile(join(folder, name), 'utf8'));
      return report.generation === generation && report.keys.length === 2 && report.keys[0].usable;
    });
    const findings = () =>
      lab.waxseal.records.filter(({ event }) => event === 'record-finding').map(({ name }) => name);
    await waitFor('both findings', () => new Set(findings()).size === 2);
    assert.match(findings().join(), /wx\d{6}e1\._domainkey\.signer\.test/);
    client = await RawClient.session(lab.waxseal.port);
    assert.match(await client.send(...MAIL), /^250 /);
    client.close();
    await lab.waxseal.end();
    assert.deepEqual(await readdir(folder), []);
  });

  const selectors = () => {
    const record = lab.waxseal.transactions.at(-1);
    return ((record?.signatures ?? []) as { s: string }[]).map(({ s }) => s).sort();
  };
  const manifest = () => join(lab.waxseal.dir, 'keys', 'keyring.yaml');

  it('signs with a key that was activated while mail flows, in the same session', async () => {
    let flowing = true;
    const replies: string[] = [];
    const flow = (async () => {
      while (flowing) replies.push(await client.send(...MAIL));
    })();
    await waitFor('mail', () => lab.waxseal.transactions.length > 2);
    const old = selectors();
    assert.equal(old.length, 2);
    await lab.waxseal.makeKeys('signer.test');
    await waitFor('the new keys', () => selectors().join() === old.map(next).join());
    flowing = false;
    await flow;
    for (const reply of replies) assert.match(reply, /^250 /);
    await waitFor('all records', () => lab.waxseal.transactions.length === replies.length);
    for (const { signatures } of lab.waxseal.transactions) {
      assert.equal((signatures as unknown[]).length, 2, 'never with half of the set');
    }
    const [reload] = lab.waxseal.records.filter(({ event }) => event === 'reloaded');
    assert.equal(reload?.by, 'watch');
    assert.deepEqual(reload?.what, ['keyring']);
  });

  it('tells of a retiring key that signed in place of its successor, beyond its own end', async () => {
    const { dir } = lab.waxseal;
    assert.match(await client.send(...MAIL), /^250 /);
    await waitFor('its record', () => selectors().length === 2);
    const [ed25519 = '', rsa = ''] = selectors();
    client.close();
    await lab.waxseal.end();
    await lab.waxseal.makeKeys('signer.test');
    const file = join(dir, 'keys', 'private', 'signer.test', `${next(rsa)}.key`);
    await rename(file, `${file}.away`);
    lab.waxseal.records.length = 0;
    await lab.waxseal.serve();
    client = await RawClient.session(lab.waxseal.port);
    assert.match(await client.send(...MAIL), /^250 /);
    await waitFor('its record', () => selectors().length === 2);
    assert.deepEqual(selectors(), [next(ed25519), rsa]);
    client.close();
    await lab.waxseal.end();
    const endedMs = Date.now();
    await rename(`${file}.away`, file);
    // Three weeks later; nothing but the report tells of the mail of today.
    const text = await readFile(manifest(), 'utf8');
    const since = new Date(endedMs - 21 * DAY_MS).toISOString();
    await writeFile(manifest(), text.replace(/(retiringSince: ).*/g, `$1${since}`));
    const plan = await lab.waxseal.cli('keys', 'revoke', 'signer.test', '--dry-run');
    const due = new RegExp(`signer\\.test: ${rsa}: would be done, not before (.*Z): `).exec(plan);
    const stoodInMs = Date.parse(due?.[1] ?? '') - 8 * DAY_MS;
    assert.ok(Math.abs(stoodInMs - endedMs) < 60_000, plan);
    assert.match(plan, new RegExp(`${ed25519}: would be done: `), 'that one signed nothing more');
    const status = await lab.waxseal.cli('keys', 'status', 'signer.test', '--no-dns');
    assert.match(status, new RegExp(`revoke ${rsa}: .*a relay signed with ${rsa} until`));
  });

  it('stops using a revoked key though another manifest is broken, and says what is broken', async () => {
    const other = join(lab.waxseal.dir, 'keys', 'other.yaml');
    await writeFile(other, 'version: 1\ngeneration: 1\ndomains: {other.test: {keys: []}}\n');
    await waitFor('the other domain', () =>
      lab.waxseal.records.some(({ domains }) => domains === 2),
    );
    await writeFile(other, 'version: 1\ngeneration: two\n');
    const text = await readFile(manifest(), 'utf8');
    await writeFile(manifest(), text.replaceAll('state: active', 'state: revoked'));
    await waitFor('the revocation', async () => /^451 4\.7\.5 /.test(await client.send(...MAIL)));
    await waitFor('the complaint', () =>
      lab.waxseal.records.some(
        ({ event, reason }) =>
          event === 'keyring-trouble' && /other\.yaml.*generation/s.test(String(reason)),
      ),
    );
    assert.match(await client.command('NOOP'), /^250 /);
  });
});

/** `wx202611r1` → `wx202611r2` */
function next(selector: string): string {
  return selector.replace(/\d+$/, (number) => String(Number(number) + 1));
}
