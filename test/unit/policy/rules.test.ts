import assert from 'node:assert/strict';
import type { LocalReply } from '../../../src/mail/reply.ts';
import { contentRules, type MessageFacts } from '../../../src/policy/content-rules.ts';
import { type MailFacts, mailRules, rcptRules } from '../../../src/policy/envelope-rules.ts';
import { judge } from '../../../src/policy/rule.ts';

function said(reply: LocalReply | undefined): string {
  return reply === undefined ? 'passes' : `${reply.code} ${reply.enhanced} ${reply.rule}`;
}

describe('rules', () => {
  it('have names of their own, which their refusals carry', () => {
    const names = [...mailRules, ...rcptRules, ...contentRules].map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
  });

  describe('at MAIL', () => {
    const facts: MailFacts = {
      client: {
        address: '192.0.2.1',
        port: 1,
        heloName: 'x',
        protocol: 'ESMTP',
        tls: undefined,
        identity: undefined,
        allowedBy: 'address',
      },
      parameters: {
        reversePath: undefined,
        sizeBytes: undefined,
        body: undefined,
        smtpUtf8: false,
      },
      keyringFault: undefined,
      maxMessageBytes: 1000,
    };
    const judged = (change: Partial<MailFacts>) => said(judge(mailRules, { ...facts, ...change }));

    it('let an allowed client pass', () => assert.equal(judged({}), 'passes'));
    it('refuse a client that is not allowed, before anything else', () => {
      const client = { ...facts.client, allowedBy: undefined };
      assert.equal(judged({ client, keyringFault: 'x' }), '530 5.7.0 client.allowed');
    });
    it('refuse a declared size over the limit, not one at it', () => {
      const withSize = (sizeBytes: number) =>
        judged({ parameters: { ...facts.parameters, sizeBytes } });
      assert.equal(withSize(1000), 'passes');
      assert.equal(withSize(1001), '552 5.3.4 mail.size');
    });
    it('defer while nothing can be signed', () => {
      assert.equal(judged({ keyringFault: 'gone' }), '451 4.7.5 mail.keyring');
    });
  });

  describe('at RCPT', () => {
    const judged = (domain: string, allowAddressLiterals = false) => {
      const recipient = { address: `a@${domain}`, localPart: 'a', domain, needsSmtpUtf8: false };
      return said(judge(rcptRules, { recipient, allowAddressLiterals }));
    };
    it('want a domain', () => assert.equal(judged(''), '550 5.1.2 rcpt.domain'));
    it('refuse address literals unless they are allowed', () => {
      assert.equal(judged('[192.0.2.1]'), '550 5.4.4 rcpt.address-literal');
      assert.equal(judged('[192.0.2.1]', true), 'passes');
      assert.equal(judged('example.com'), 'passes');
    });
  });

  describe('at the final dot', () => {
    const facts: MessageFacts = {
      content: { bytes: 10, strayLineEnds: false, nul: false, longestLine: 10 },
      receivedFields: 3,
      policy: { strayLineEnds: 'fix', longLines: 'pass', maxHops: 50 },
    };
    const judged = (
      content: Partial<MessageFacts['content']>,
      policy: Partial<MessageFacts['policy']> = {},
      receivedFields = 3,
    ) =>
      said(
        judge(contentRules, {
          content: { ...facts.content, ...content },
          receivedFields,
          policy: { ...facts.policy, ...policy },
        }),
      );

    it('let an ordinary message pass', () => assert.equal(judged({}), 'passes'));
    it('refuse NUL always', () => assert.equal(judged({ nul: true }), '550 5.6.0 content.nul'));
    it('refuse stray line ends only where the configuration says so', () => {
      assert.equal(judged({ strayLineEnds: true }), 'passes');
      const refused = judged({ strayLineEnds: true }, { strayLineEnds: 'refuse' });
      assert.equal(refused, '550 5.6.11 content.stray-line-ends');
    });
    it('refuse lines over 998 octets where configured, over 64 KiB always', () => {
      assert.equal(judged({ longestLine: 65_536 }), 'passes');
      assert.equal(judged({ longestLine: 65_537 }), '550 5.6.0 content.long-lines');
      assert.equal(judged({ longestLine: 998 }, { longLines: 'refuse' }), 'passes');
      const refused = judged({ longestLine: 999 }, { longLines: 'refuse' });
      assert.equal(refused, '550 5.6.0 content.long-lines');
    });
    it('take more than limits.hops Received fields for a loop', () => {
      assert.equal(judged({}, {}, 50), 'passes');
      assert.equal(judged({}, {}, 51), '554 5.4.6 header.hops');
    });
  });
});
