import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Client } from '../../../src/mail/client.ts';
import type { Mailbox } from '../../../src/mail/envelope.ts';
import { fieldValue } from '../../../src/mail/header-fields.ts';
import {
  dateField,
  messageIdField,
  type ReceivedFacts,
  receivedField,
} from '../../../src/mail/received.ts';

const CLIENT: Client = {
  address: '192.0.2.7',
  port: 4711,
  heloName: 'client.example.com',
  protocol: 'ESMTPS',
  tls: { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
  identity: undefined,
  allowedBy: 'address',
};

function mailbox(address: string): Mailbox {
  return { address, localPart: 'x', domain: 'example.net', needsSmtpUtf8: false };
}

const FACTS: ReceivedFacts = {
  client: CLIENT,
  hideClient: false,
  by: 'relay.example.com',
  id: 'W1a2b3c',
  smtpUtf8: false,
  recipients: [mailbox('r@example.net')],
  wallMs: Date.UTC(2026, 10, 1, 3, 4, 5),
};

function value(changes: Partial<ReceivedFacts>): string {
  return fieldValue(receivedField({ ...FACTS, ...changes })).replaceAll('\t', ' ');
}

describe('received', () => {
  it('tells client, protocol, TLS, id and the single recipient', () => {
    assert.equal(
      receivedField(FACTS).octets.toString(),
      'Received: from client.example.com ([192.0.2.7]) by relay.example.com with\r\n' +
        '\tESMTPS (TLSv1.3 cipher TLS_AES_256_GCM_SHA384) id W1a2b3c for\r\n' +
        '\t<r@example.net>; Sun, 01 Nov 2026 03:04:05 +0000\r\n',
    );
  });

  it('hides the client where configured', () => {
    const hidden = value({ hideClient: true });
    assert.match(hidden, /^by relay\.example\.com with ESMTPS/);
    assert.doesNotMatch(hidden, /192\.0\.2\.7|client\.example/);
  });

  it('names no recipient when there are several or none', () => {
    const two = [mailbox('r@example.net'), mailbox('s@example.net')];
    assert.doesNotMatch(value({ recipients: two }), / for /);
    assert.doesNotMatch(value({ recipients: [] }), / for /);
    assert.match(value({ recipients: [] }), / id W1a2b3c; Sun, 01 Nov/);
  });

  it('names UTF-8 recipients and the protocol of RFC 6531 under SMTPUTF8 only', () => {
    const recipients = [mailbox('jürgen@example.net')];
    assert.match(
      value({ recipients, smtpUtf8: true }),
      / with UTF8SMTPS .* for <jürgen@example.net>;/,
    );
    assert.doesNotMatch(value({ recipients }), / for /);
  });

  it('writes IPv6 addresses as literals, and one in place of a HELO name that is none', () => {
    const client = { ...CLIENT, address: '2001:db8::7', heloName: 'a b' };
    assert.match(value({ client }), /^from \[IPv6:2001:db8::7\] \(\[IPv6:2001:db8::7\]\) by /);
    assert.match(
      value({ client: { ...client, heloName: '[192.0.2.9]' } }),
      /^from \[192\.0\.2\.9\] /,
    );
  });

  it('lets nothing that a client chose end the line, open a comment or make another field', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary' }),
        fc.string(),
        fc.boolean(),
        (one, two, smtpUtf8) => {
          const field = receivedField({
            ...FACTS,
            smtpUtf8,
            client: {
              ...CLIENT,
              heloName: one,
              protocol: two,
              address: two,
              tls: { protocol: one, cipher: two },
            },
            recipients: [mailbox(two)],
          });
          const text = field.octets.toString();
          assert.match(text, /^Received: [^\r\n]+(\r\n\t[^\r\n]+)*\r\n$/);
          assert.doesNotMatch(
            text.replaceAll('\r\n', ''),
            // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not get through
            /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028]/,
          );
          assert.equal(text.split('(').length, text.split(')').length);
        },
      ),
      { examples: [['x\r\nFrom: evil', 'x\r\n\r\nbody', true]] },
    );
  });

  it('makes Date and Message-ID fields', () => {
    const wallMs = Date.UTC(2026, 10, 1, 3, 4, 5);
    assert.equal(dateField(wallMs).octets.toString(), 'Date: Sun, 01 Nov 2026 03:04:05 +0000\r\n');
    const id = messageIdField('W1a2b3c', 'relay.example.com', wallMs);
    assert.match(
      id.octets.toString(),
      /^Message-ID: <[a-z0-9]+\.W1a2b3c@relay\.example\.com>\r\n$/,
    );
    assert.equal(id.name, 'message-id');
  });
});
