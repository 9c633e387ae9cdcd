import assert from 'node:assert/strict';
import { createTransport } from 'nodemailer';
import { MailLab } from '../support/mail-lab.ts';
import { requirePeer } from '../support/peers.ts';
import { Postfix } from '../support/postfix.ts';
import { SilentListener } from '../support/silent-listener.ts';
import { waitFor } from '../support/wait-for.ts';

/** The settings that config/postfix recommends, with the port of the test. */
function recommended(port: number): { mainCf: string; masterCf: string } {
  return {
    mainCf: `myhostname = client.sender.test
default_transport = waxseal:[127.0.0.1]:${port}
waxseal_destination_recipient_limit = 1
waxseal_initial_destination_concurrency = 20
minimal_backoff_time = 5s
queue_run_delay = 5s
`,
    masterCf: 'waxseal unix - - n - 100 smtp\n',
  };
}

describe('a real Postfix as the client', function () {
  this.timeout(120_000);
  let lab: MailLab;
  let postfix: Postfix;

  before(async function () {
    const program = requirePeer(this, 'postfix');
    lab = await MailLab.start(
      {
        'good.test': {},
        'good2.test': {},
        'good3.test': {},
        'good4.test': {},
        'rcpt550.test': { script: { rcpt: '550 5.1.1 <nobody>: no such user, says the MX' } },
        'dot554.test': { script: { dot: '554 5.7.1 content not wanted, says the MX' } },
        'later.test': { script: { rcpt: '451 4.7.1 greylisted, says the MX' } },
        'sender.test': {},
      },
      ['sender.test'],
    );
    const { mainCf, masterCf } = recommended(lab.waxseal.port);
    postfix = await Postfix.start(program, mainCf, masterCf);
  });
  after(async () => {
    await postfix?.stop();
    await lab?.stop();
  });

  async function submit(to: string | readonly string[], subject: string): Promise<void> {
    const transport = createTransport({ host: '127.0.0.1', port: postfix.port, ignoreTLS: true });
    await transport.sendMail({
      envelope: {
        from: 'author@sender.test',
        to: [...to].length && Array.isArray(to) ? to : [String(to)],
      },
      from: 'author@sender.test',
      to: 'recipients:;',
      subject,
      text: 'A line.\n.A line with a dot.\n',
    });
    transport.close();
  }

  const delivered = (domain: string, subject: string) =>
    lab.mx(domain).contents.filter((content) => content.includes(`Subject: ${subject}\r\n`));

  it('sees accepted mail leave the queue, signed, once', async () => {
    await submit('a@good.test', 'accepted');
    await waitFor('the message at the MX', () => delivered('good.test', 'accepted').length > 0);
    await waitFor('an empty queue', async () => (await postfix.queue()).length === 0);
    const [content, ...more] = delivered('good.test', 'accepted');
    assert.equal(more.length, 0);
    assert.match(content ?? '', /^Received: /);
    assert.equal(content?.match(/^DKIM-Signature:/gm)?.length, 2);
  });

  it('turns a 550 at RCPT into a bounce with the words of the MX', async () => {
    await submit('nobody@rcpt550.test', 'refused at RCPT');
    await waitFor('the bounce', () =>
      lab
        .mx('sender.test')
        .contents.some((content) => content.includes('no such user, says the MX')),
    );
  });

  it('turns a 554 after DATA into a bounce with the words of the MX', async () => {
    await submit('a@dot554.test', 'refused after DATA');
    await waitFor('the bounce', () =>
      lab
        .mx('sender.test')
        .contents.some((content) => content.includes('content not wanted, says the MX')),
    );
  });

  it('keeps mail that is answered 451, and gets it through later', async () => {
    await submit('a@later.test', 'deferred');
    await waitFor('the deferral', async () =>
      (await postfix.queue()).some(
        ({ queue_name, recipients }) =>
          queue_name === 'deferred' &&
          recipients.some(({ delay_reason }) => delay_reason?.includes('greylisted, says the MX')),
      ),
    );
    lab.mx('later.test').script = {};
    await waitFor('the message at the MX', async () => {
      await postfix.flush();
      return delivered('later.test', 'deferred').length > 0;
    });
    await waitFor('an empty queue', async () => (await postfix.queue()).length === 0);
  });

  it('delivers one message to four domains in one queue run', async () => {
    const domains = ['good.test', 'good2.test', 'good3.test', 'good4.test'];
    await submit(
      domains.map((domain) => `a@${domain}`),
      'four domains',
    );
    await waitFor('all four', () =>
      domains.every((domain) => delivered(domain, 'four domains').length === 1),
    );
    await waitFor('an empty queue', async () => (await postfix.queue()).length === 0);
    const deferrals = (await postfix.log()).match(/to=<a@good\d?\.test>.*status=deferred.*/g);
    assert.equal(deferrals, null);
  });

  it('delivers to a good MX while 30 messages wait for a black hole', async () => {
    const hole = await SilentListener.open('127.0.2.1', lab.mxPort);
    try {
      lab.dns.set('hole.test', 'MX', [[10, 'mx.hole.test']]);
      lab.dns.set('mx.hole.test', 'A', ['127.0.2.1']);
      for (let index = 0; index < 30; index += 1)
        await submit(`a${index}@hole.test`, 'into the hole');
      await submit('a@good.test', 'past the hole');
      await waitFor('the good one', () => delivered('good.test', 'past the hole').length === 1);
      const waiting = (await postfix.queue()).filter(({ recipients }) =>
        recipients.some(({ address }) => address.endsWith('@hole.test')),
      );
      assert.equal(waiting.length, 30);
    } finally {
      await hole.close();
    }
  });
});
