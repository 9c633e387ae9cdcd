import assert from 'node:assert/strict';
import { type CorpusMessage, readCorpus, requireCorpus } from '../support/corpus.ts';
import { dotDecoded } from '../support/dot-decoded.ts';
import { MailLab } from '../support/mail-lab.ts';
import { requirePeer } from '../support/peers.ts';
import { RawClient } from '../support/raw-client.ts';
import { allVerifiers, type TxtRecords } from '../support/verifiers.ts';

/** How a message of the corpus fared. */
interface Fate {
  readonly message: CorpusMessage;
  readonly reply: string;
  /** What arrived at the MX, dots decoded; undefined when it was refused. */
  readonly arrived: Buffer | undefined;
}

/** What a verifier does not verify for reasons of its own, whoever signed. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  // Gives up on the whole message where an older signature of somebody else is malformed.
  opendkim: [
    'ham/apache-spamassassin-t--nice_dkim_AddedVtag_07.eml',
    'odd/rspamd--dkim_many_sigs.eml',
    'odd/sisimai-bounces--bsd_arf-14.eml',
  ],
  // Breaks every signature on purpose where a field stands twice that may stand once; looks at
  // nothing else where it sees the test string GTUBE.
  rspamd: [
    'odd/mikel-mail--mime_emails_raw_email_with_binary_encoded.eml',
    'spam/apache-spamassassin-t--spam_dmarc_noneko.eml',
    'spam/apache-spamassassin-t--spam_gtube.eml',
    'spam/rspamd--gtube.eml',
  ],
};

/** The contract's normalisation of content with CRLF line ends. Slow and plain on purpose. */
function normalised(content: Buffer): string {
  const text = content.toString('latin1').replace(/\r(?!\n)/g, ' ');
  return text.endsWith('\r\n') ? text : `${text}\r\n`;
}

describe('the sample messages, relayed', function () {
  this.timeout(300_000);
  let lab: MailLab;
  let dns: TxtRecords;
  const fates: Fate[] = [];

  before(async function () {
    const messages = await readCorpus(requireCorpus(this));
    lab = await MailLab.start({ 'sink.test': {} }, ['signer.test'], {
      // Every author domain is a stranger here: all of them are signed as one.
      signing: { unmatched: 'fallback:signer.test' },
    });
    const printed = await lab.waxseal.cli('keys', 'dns', 'signer.test', '--json');
    const { records } = JSON.parse(printed) as { records: { name: string; value: string }[] };
    dns = Object.fromEntries(records.map(({ name, value }) => [name, value]));
    const client = await RawClient.session(lab.waxseal.port);
    const mx = lab.mx('sink.test');
    for (const message of messages) {
      const before = mx.contents.length;
      const reply = await client.send('author@client.test', ['a@sink.test'], message.content);
      const [content] = mx.contents.slice(before);
      fates.push({
        message,
        reply,
        arrived: content === undefined ? undefined : dotDecoded(Buffer.from(content, 'latin1')),
      });
      if (!reply.startsWith('2')) await client.command('RSET');
    }
    client.close();
  });
  after(() => lab?.stop());

  it('reach the MX or are refused by a rule, and never both', () => {
    for (const { message, reply, arrived } of fates) {
      assert.equal(reply.startsWith('250'), arrived !== undefined, `${message.name}: ${reply}`);
    }
  });

  it('are refused by these rules, this often', () => {
    const byRule: Record<string, number> = {};
    for (const { reply } of fates) {
      const rule = /\[waxseal (\S+) \S+\]$/.exec(reply)?.[1] ?? 'accepted';
      byRule[rule] = (byRule[rule] ?? 0) + 1;
    }
    assert.deepEqual(byRule, { accepted: 432, 'header.from': 63 });
  });

  it('arrive as they were sent, under what Waxseal added', () => {
    const withEmptyLine: string[] = [];
    for (const { message, arrived } of fates) {
      if (arrived === undefined) continue;
      const text = arrived.toString('latin1');
      const sent = normalised(message.content);
      if (text.endsWith(sent)) {
        assert.match(
          text.slice(0, -sent.length),
          /^Received: [^\0]*\r\nDKIM-Signature: [^\0]*\r\n$/,
        );
        continue;
      }
      // A header that a line ends which is no field: the empty line is added, and nothing else.
      const body = text.slice(text.indexOf('\r\n\r\n') + 4);
      assert.ok(sent.endsWith(`\r\n${body}`), `${message.name} arrived changed`);
      withEmptyLine.push(message.name);
    }
    assert.deepEqual(withEmptyLine, [
      'odd/mikel-mail--error_emails_multiple_references_with_one_invalid.eml',
      'spam/apache-spamassassin-t--spam_015.eml',
    ]);
  });

  for (const verifier of allVerifiers) {
    it(`verify in ${verifier.name}, both signatures`, async function () {
      if (verifier.peer !== undefined) requirePeer(this, verifier.peer);
      const arrived = fates.flatMap(({ message, arrived: octets }) =>
        octets === undefined ? [] : [{ name: message.name, octets }],
      );
      const verdicts = await verifier.verify(
        arrived.map(({ octets }) => octets),
        dns,
      );
      const selectors = Object.keys(dns).map((name) => name.replace(/\._domainkey\..*$/, ''));
      const failed = arrived.flatMap(({ name }, index) => {
        const missing = selectors.filter((selector) => !verdicts[index]?.includes(selector));
        return missing.length === 0 ? [] : [name];
      });
      assert.deepEqual(failed, EXCEPTIONS[verifier.name] ?? []);
    });
  }
});
