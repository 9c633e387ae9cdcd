import assert from 'node:assert/strict';
import { createTransport } from 'nodemailer';
import { KmsMailLab } from '../support/kms/kms-mail-lab.ts';
import { requirePeer } from '../support/peers.ts';
import { Postfix } from '../support/postfix.ts';
import { waitFor } from '../support/wait-for.ts';

const MESSAGES = 10;

/** An hour without KMS, compressed: Postfix tries again every second instead of every few minutes. */
describe('KMS is down, and a real Postfix has mail', function () {
  this.timeout(120_000);
  let lab: KmsMailLab;
  let postfix: Postfix;

  beforeEach(async function () {
    const program = requirePeer(this, 'postfix');
    lab = await KmsMailLab.start({ attemptTimeoutMs: 1000, totalTimeoutMs: 2500 });
    await lab.addKey('kms-sign', 'signer.test', 'rsa2048');
    await lab.addKey('kms-sign', 'signer.test', 'ed25519');
    await lab.reload();
    postfix = await Postfix.start(
      program,
      `myhostname = client.signer.test
default_transport = waxseal:[127.0.0.1]:${lab.mail.waxseal.port}
waxseal_destination_recipient_limit = 1
minimal_backoff_time = 1s
queue_run_delay = 1s
`,
      'waxseal unix - - n - 100 smtp\n',
    );
  });
  afterEach(async () => {
    await postfix?.stop();
    await lab?.stop();
  });

  const submit = async (domain: string, subject: string) => {
    const transport = createTransport({ host: '127.0.0.1', port: postfix.port, ignoreTLS: true });
    const from = `author@${domain}`;
    await transport.sendMail({ from, to: 'a@sink.test', subject, text: 'A line.\n' });
    transport.close();
  };
  const arrived = (prefix: string) =>
    lab.contents.filter((content) => content.includes(`Subject: ${prefix}`));

  it('defers the mail of its domains, delivers it afterwards, and nothing else notices', async () => {
    await lab.kms.server.region().close();
    for (let number = 0; number < MESSAGES; number += 1) {
      await submit('signer.test', `kms ${number}`);
      await submit('file.test', `file ${number}`);
    }
    await waitFor('the mail of the other domain', () => arrived('file').length === MESSAGES);
    await waitFor(
      'each message of the domain in KMS to be tried twice',
      async () =>
        ((await postfix.log()).match(/status=deferred .*451 4\.7\.5/g)?.length ?? 0) >=
        2 * MESSAGES,
      60_000,
    );
    assert.equal(arrived('kms').length, 0);
    await lab.kms.server.region().listen();
    await waitFor('all mail', () => arrived('kms').length >= MESSAGES, 60_000);
    await waitFor('an empty queue', async () => (await postfix.queue()).length === 0);
    assert.equal(arrived('kms').length, MESSAGES, 'each once');
    for (const content of lab.contents) {
      assert.equal(content.match(/^DKIM-Signature:/gm)?.length, 2, 'nothing left unsigned');
    }
    assert.doesNotMatch(await postfix.log(), /status=bounced/);
    assert.deepEqual((await lab.verdicts()).verdicts, ['pass', 'pass']);
  });
});
