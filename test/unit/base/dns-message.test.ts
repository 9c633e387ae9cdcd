import assert from 'node:assert/strict';
import { decode, encode } from 'dns-packet';
import fc from 'fast-check';
import { encodeQuery, type Question, readReply } from '../../../src/base/dns-message.ts';
import { isAskable, isHostName, normalizeName } from '../../../src/base/dns-name.ts';

const QUESTION: Question = { name: 'a.example', type: 'A' };
const ID = 0x1234;

function replyOctets(changes: object = {}): Buffer {
  return encode({
    type: 'response',
    id: ID,
    flags: 0,
    questions: [{ name: 'A.Example', type: 'A' }],
    answers: [{ name: 'a.example', type: 'A', ttl: 60, data: '192.0.2.1' }],
    ...changes,
  });
}

describe('encodeQuery', () => {
  it('asks for recursion, with 1232 octets of EDNS where wanted', () => {
    const packet = decode(encodeQuery(QUESTION, ID, true));
    assert.equal(packet.id, ID);
    assert.equal(packet.flags, 0x0100);
    assert.deepEqual(packet.questions, [{ name: 'a.example', type: 'A', class: 'IN' }]);
    assert.equal(packet.additionals?.[0]?.udpPayloadSize, 1232);
    assert.deepEqual(decode(encodeQuery(QUESTION, ID, false)).additionals, []);
  });

  it('writes names as they are, and the root', () => {
    const label = fc.stringMatching(/^[a-z0-9_-]{1,63}$/);
    const names = fc
      .array(label, { minLength: 1, maxLength: 6 })
      .map((labels) => labels.join('.'))
      .filter(isAskable);
    fc.assert(
      fc.property(names, (name) => {
        const packet = decode(encodeQuery({ name, type: 'MX' }, 1, true));
        assert.equal(packet.questions[0]?.name, name);
      }),
    );
    assert.equal(decode(encodeQuery({ name: '', type: 'NS' }, 1, true)).questions[0]?.name, '.');
  });
});

describe('readReply', () => {
  it('takes the answer to its question, whatever the case', () => {
    const received = readReply(replyOctets(), QUESTION, ID);
    assert.ok(received.kind === 'reply');
    assert.deepEqual(received.reply.answers, [
      { type: 'A', name: 'a.example', ttlS: 60, data: '192.0.2.1' },
    ]);
  });

  it('ignores what answers something else', () => {
    const foreign = {
      'wrong id': replyOctets({ id: ID + 1 }),
      'wrong name': replyOctets({ questions: [{ name: 'b.example', type: 'A' }] }),
      'wrong type': replyOctets({ questions: [{ name: 'a.example', type: 'AAAA' }] }),
      'wrong class': replyOctets({ questions: [{ name: 'a.example', type: 'A', class: 'CH' }] }),
      'two questions': replyOctets({
        questions: [
          { name: 'a.example', type: 'A' },
          { name: 'b.example', type: 'A' },
        ],
      }),
      'no question': replyOctets({ questions: [] }),
      'a query': encodeQuery(QUESTION, ID, true),
      'a short one': Buffer.from([0x12, 0x34]),
    };
    for (const [what, octets] of Object.entries(foreign)) {
      assert.equal(readReply(octets, QUESTION, ID).kind, 'foreign', what);
    }
  });

  it('takes a refusal with an empty question, as some servers send it', () => {
    const received = readReply(replyOctets({ questions: [], flags: 1 }), QUESTION, ID);
    assert.equal(received.kind === 'reply' && received.reply.rcode, 'FORMERR');
  });

  it('sees an extended code as an error and not as an empty answer', () => {
    const opt = { type: 'OPT', name: '.', udpPayloadSize: 512, extendedRcode: 1, flags: 0 };
    const octets = replyOctets({
      answers: [],
      additionals: [{ ...opt, ednsVersion: 0, options: [] }],
    });
    const received = readReply(octets, QUESTION, ID);
    assert.equal(received.kind === 'reply' && received.reply.rcode, 'BADVERS');
  });

  it('refuses octets after the message', () => {
    const octets = Buffer.concat([replyOctets(), Buffer.from('x')]);
    assert.equal(readReply(octets, QUESTION, ID).kind, 'malformed');
  });

  it('takes no record of another class', () => {
    const other = { name: 'a.example', type: 'A', class: 'CH', ttl: 1, data: '192.0.2.9' };
    const received = readReply(replyOctets({ answers: [other] }), QUESTION, ID);
    assert.deepEqual(received.kind === 'reply' && received.reply.answers, []);
  });

  it('survives any octets', () => {
    const head = replyOctets({ answers: [] });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat({ max: 20 }), (octets, count) => {
        const message = Buffer.concat([head, octets]);
        message.writeUInt16BE(count, 6);
        const received = readReply(message, QUESTION, ID);
        assert.ok(['reply', 'malformed', 'foreign'].includes(received.kind));
      }),
    );
  });

  it('survives any damage to a true message', () => {
    const whole = replyOctets({
      questions: [{ name: 'a.example', type: 'A' }],
      answers: [
        { name: 'a.example', type: 'CNAME', ttl: 1, data: 'b.example' },
        { name: 'a.example', type: 'MX', ttl: 1, data: { preference: 1, exchange: 'm.example' } },
        { name: 'a.example', type: 'TXT', ttl: 1, data: ['one', 'two'] },
        { name: 'b.example', type: 'AAAA', ttl: 1, data: '2001:db8::1' },
        {
          name: 'example',
          type: 'SOA',
          ttl: 1,
          data: { mname: 'n.example', rname: 'r.example', serial: 1, minimum: 1 },
        },
      ],
    });
    const damage = fc.array(fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 })), {
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(damage, fc.nat({ max: whole.length }), (changes, length) => {
        const message = Buffer.from(whole);
        for (const [at, octet] of changes) message[at] = octet;
        readReply(message.subarray(0, length), QUESTION, ID);
        readReply(message, QUESTION, ID);
      }),
      { numRuns: 500 },
    );
  });
});

describe('names', () => {
  it('are lower case without the last dot', () => {
    assert.equal(normalizeName('MX.Example.'), 'mx.example');
    assert.equal(normalizeName('.'), '');
  });

  it('can be asked for, or be hosts, within the limits of the DNS', () => {
    const label = 'a'.repeat(63);
    const cases: Record<string, readonly [askable: boolean, host: boolean]> = {
      '': [true, false],
      'a.example': [true, true],
      's1._domainkey.a.example': [true, true],
      [`${label}.example`]: [true, true],
      [`${label}a.example`]: [false, false],
      [`${label}.${label}.${label}.${'a'.repeat(61)}`]: [true, true],
      [`${label}.${label}.${label}.${'a'.repeat(62)}`]: [false, false],
      'a..example': [false, false],
      '.example': [false, false],
      'a b.example': [false, false],
      'a\u0000.example': [false, false],
      'bücher.example': [false, false],
      '192.0.2.1': [true, false],
      '2001:db8::1': [true, false],
      '[192.0.2.1]': [true, false],
      'a*b.example': [true, false],
    };
    for (const [name, [askable, host]] of Object.entries(cases)) {
      assert.deepEqual([isAskable(name), isHostName(name)], [askable, host], name);
    }
  });
});
