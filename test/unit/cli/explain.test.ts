import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import { keyringAccess } from '../../../src/keys/keyring-access.ts';
import {
  addKeys,
  type KeyringPlace,
  makeKeyringPlace,
  removeKeyringPlace,
} from '../../support/keyring.ts';
import { runWaxseal } from '../../support/run-waxseal.ts';
import { NO_SERVERS } from '../../support/waxseal.ts';

const MESSAGE = [
  'Received: from a by b; Mon, 2 Nov 2026 10:00:00 +0000',
  'From: Ann <ann@example.com>',
  'To: bob@example.net',
  'Subject: hello',
  'X-Other: 1',
  'Content-Type: text/plain',
  '',
  'Hi',
  '',
].join('\n');

describe('waxseal explain', () => {
  let place: KeyringPlace;
  let env: Record<string, string>;
  before(async () => {
    place = await makeKeyringPlace();
    env = {
      WAXSEAL_KEYS_DIR: place.dir,
      WAXSEAL_KEYS_MASTER_KEY_FILE: place.masterKeyFile,
      WAXSEAL_SERVER_NAME: 'relay.example.com',
      WAXSEAL_DNS_HINTS: NO_SERVERS,
    };
    const active = async (domain: string, subdomains: boolean) => {
      const { stderr, code } = await runWaxseal(
        ['keys', 'create', domain, ...(subdomains ? ['--subdomains'] : [])],
        { env },
      );
      assert.equal(code, 0, stderr);
      assert.equal((await runWaxseal(['keys', 'activate', domain, '--force'], { env })).code, 0);
    };
    await active('example.com', true);
    await addKeys(keyringAccess(place, systemClock), 'new.example');
  });
  after(() => removeKeyringPlace(place));

  const explain = (message: string, args: string[] = [], more: Record<string, string> = {}) =>
    runWaxseal(['explain', '-', ...args], { env: { ...env, ...more }, stdin: message });
  const asJson = async (
    message: string,
    args: string[] = [],
    more: Record<string, string> = {},
  ) => {
    const { code, stdout } = await explain(message, [...args, '--json'], more);
    return { code, ...JSON.parse(stdout) };
  };

  it('tells domain, keys and header fields of a message that would be signed', async () => {
    const { code, stdout } = await explain(MESSAGE);
    assert.equal(code, 0, stdout);
    for (const line of [
      'It would be signed.',
      '  because: example.com has active keys',
      '  domain:    example.com (from the From field)',
      '  from: 1, and against another one',
      '  reply-to: absent, and against another one',
      '  content-type: 1, and against another one',
      '  received: 1',
      '  x-other: 1',
    ]) {
      assert.ok(stdout.split('\n').includes(line), `${line} in:\n${stdout}`);
    }
    assert.match(stdout, / {2}d=example\.com s=\S+ a=rsa-sha256 c=relaxed\/relaxed\n/);
    assert.match(stdout, / {2}d=example\.com s=\S+ a=ed25519-sha256 c=relaxed\/relaxed\n/);
  });

  it('says the same to programs', async () => {
    const said = await asJson(MESSAGE);
    assert.equal(said.verdict, 'sign');
    assert.deepEqual(said.author, {
      addresses: ['ann@example.com'],
      domain: 'example.com',
      decidedBy: 'from',
    });
    const field = (name: string) => said.fields.find((one: { name: string }) => one.name === name);
    assert.deepEqual(field('from'), { name: 'from', present: 1, signed: 2 });
    assert.deepEqual(field('cc'), { name: 'cc', present: 0, signed: 1 });
    assert.deepEqual(field('received'), { name: 'received', present: 1, signed: 0 });
  });

  it('says that a parent domain signs for its subdomain', async () => {
    const said = await asJson(MESSAGE.replace('@example.com', '@news.example.com'));
    assert.equal(said.signatures[0].d, 'example.com');
    assert.match(
      said.why,
      /news\.example\.com has no keys, and example\.com signs for its subdomains/,
    );
  });

  it('refuses a domain without keys, and names the reply: 3', async () => {
    const said = await asJson(MESSAGE.replace('@example.com', '@example.org'));
    assert.equal(said.code, 3);
    assert.equal(said.verdict, 'refuse');
    assert.match(said.reply, /^550 5\.7\.1 .*example\.org.*\[waxseal signing\.unmatched\]$/);
  });

  it('lets a bounce of such a domain leave unsigned', async () => {
    const said = await asJson(MESSAGE.replace('@example.com', '@example.org'), [
      '--mail-from',
      '<>',
    ]);
    assert.deepEqual([said.code, said.verdict], [0, 'unsigned']);
  });

  it('names the fallback domain', async () => {
    const said = await asJson(MESSAGE.replace('@example.com', '@example.org'), [], {
      WAXSEAL_SIGNING_UNMATCHED: 'fallback:example.com',
    });
    assert.equal(said.signatures[0].d, 'example.com');
    assert.match(said.why, /fallback/);
  });

  it('defers a domain whose keys are not active, and says what to do: 1', async () => {
    const said = await asJson(MESSAGE.replace('@example.com', '@new.example'));
    assert.equal(said.code, 1);
    assert.equal(said.verdict, 'defer');
    assert.match(said.why, /waxseal keys activate new\.example/);
    assert.match(said.reply, /^451 4\.7\.5 /);
  });

  it('defers everything when the keyring cannot be read: 1', async () => {
    const file = join(place.root, 'no-directory');
    await writeFile(file, '');
    const said = await asJson(MESSAGE, [], { WAXSEAL_KEYS_DIR: file });
    assert.deepEqual([said.code, said.verdict], [1, 'defer']);
    await rm(file);
  });

  for (const [what, message, reply] of [
    ['no From', MESSAGE.replace('From: ', 'X-From: '), /^550 5\.6\.0 .*no From/],
    ['two From fields', `From: x@y.example\n${MESSAGE}`, /^550 5\.6\.0 .*more than one From/],
    [
      'several authors and no Sender',
      MESSAGE.replace('Ann <', 'x@y.example, Ann <'),
      /^550 5\.6\.0 .*Sender/,
    ],
    ['a NUL', `${MESSAGE}\0`, /^550 5\.6\.0 .*NUL/],
    ['a loop', `${'Received: x\n'.repeat(51)}${MESSAGE}`, /^554 5\.4\.6 .*loop/],
    ['an endless header', `X: ${'x'.repeat(300_000)}\n${MESSAGE}`, /^552 5\.3\.4 .*header/],
  ] as const) {
    it(`refuses ${what}, as the relay does: 3`, async () => {
      const said = await asJson(message);
      assert.equal(said.code, 3);
      assert.match(said.reply, reply);
    });
  }

  it('takes files with CRLF, and the first message line of a mailbox file', async () => {
    const crlf = await asJson(MESSAGE.replaceAll('\n', '\r\n'));
    const mailbox = await asJson(`From ann@example.com Mon Nov  2 10:00:00 2026\n${MESSAGE}`);
    assert.deepEqual(crlf, await asJson(MESSAGE));
    assert.equal(mailbox.verdict, 'sign');
    assert.match(mailbox.notes[0], /mailbox/);
  });

  it('says which fields would be added', async () => {
    const said = await asJson(MESSAGE, [], {
      WAXSEAL_CONTENT_ADD_DATE: 'true',
      WAXSEAL_CONTENT_ADD_MESSAGE_ID: 'true',
    });
    assert.deepEqual(said.notes, [
      'A date field would be added',
      'A message-id field would be added',
    ]);
    assert.ok(
      said.fields.some(
        (field: { name: string; signed: number }) => field.name === 'date' && field.signed === 2,
      ),
    );
  });

  it('says when there is no such file: 1', async () => {
    const { code, stderr } = await runWaxseal(['explain', join(place.root, 'none.eml')], { env });
    assert.equal(code, 1);
    assert.match(stderr, /none\.eml cannot be read/);
  });
});
