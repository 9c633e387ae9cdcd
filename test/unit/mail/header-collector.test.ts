import assert from 'node:assert/strict';
import fc from 'fast-check';
import { HeaderCollector, type HeaderProgress } from '../../../src/mail/header-collector.ts';
import { fieldValue } from '../../../src/mail/header-fields.ts';

const LIMITS = { maxHeaderBytes: 1000, maxFields: 20 };

type Ended = Exclude<HeaderProgress, { kind: 'more' }>;

/** Feeds pieces to the collector as the relay does; pieces after the header are body. */
function collect(pieces: readonly Buffer[], limits = LIMITS): Ended {
  const collector = new HeaderCollector(limits);
  for (const [index, piece] of pieces.entries()) {
    const progress = collector.push(piece);
    if (progress.kind === 'more') continue;
    if (progress.kind === 'refused') return progress;
    return { ...progress, body: [...progress.body, ...pieces.slice(index + 1)] };
  }
  return collector.end();
}

function completeOf(text: string | readonly Buffer[]): Extract<Ended, { kind: 'complete' }> {
  const progress = collect(typeof text === 'string' ? [Buffer.from(text)] : text);
  assert.equal(progress.kind, 'complete');
  return progress;
}

function summary(text: string | readonly Buffer[]) {
  const { header, body } = completeOf(text);
  return {
    fields: header.fields.map((field) => [field.name, fieldValue(field)]),
    separator: header.separator,
    header: header.octets.toString(),
    body: Buffer.concat(body).toString(),
  };
}

function octetsOf(text: string): Buffer[] {
  const whole = Buffer.from(text);
  return Array.from(whole, (_, index) => whole.subarray(index, index + 1));
}

const SHAPES: Readonly<Record<string, { text: string; expected: ReturnType<typeof summary> }>> = {
  'an ordinary message': {
    text: 'From: a@example.com\r\nSubject: x\r\n y\r\n\r\nbody\r\n\r\nmore\r\n',
    expected: {
      fields: [
        ['from', 'a@example.com'],
        ['subject', 'x y'],
      ],
      separator: 'present',
      header: 'From: a@example.com\r\nSubject: x\r\n y\r\n\r\n',
      body: 'body\r\n\r\nmore\r\n',
    },
  },
  'a message that ends with its header': {
    text: 'From: a@example.com\r\n',
    expected: {
      fields: [['from', 'a@example.com']],
      separator: 'absent',
      header: 'From: a@example.com\r\n',
      body: '',
    },
  },
  'a header whose last line has no CRLF': {
    text: 'From: a@example.com\r\nSubject: x',
    expected: {
      fields: [
        ['from', 'a@example.com'],
        ['subject', 'x'],
      ],
      separator: 'absent',
      header: 'From: a@example.com\r\nSubject: x\r\n',
      body: '',
    },
  },
  'an empty message': {
    text: '',
    expected: { fields: [], separator: 'absent', header: '', body: '' },
  },
  'a message without a header': {
    text: '\r\nFrom: in the body\r\n',
    expected: {
      fields: [],
      separator: 'present',
      header: '\r\n',
      body: 'From: in the body\r\n',
    },
  },
  'a header without a body': {
    text: 'From: a@example.com\r\n\r\n',
    expected: {
      fields: [['from', 'a@example.com']],
      separator: 'present',
      header: 'From: a@example.com\r\n\r\n',
      body: '',
    },
  },
  'a line that is no field': {
    text: 'From: a@example.com\r\nno field here\r\nFrom: b@example.com\r\n\r\nbody\r\n',
    expected: {
      fields: [['from', 'a@example.com']],
      separator: 'added',
      header: 'From: a@example.com\r\n\r\n',
      body: 'no field here\r\nFrom: b@example.com\r\n\r\nbody\r\n',
    },
  },
  'a last line that is no field and has no CRLF': {
    text: 'From: a@example.com\r\nno field',
    expected: {
      fields: [['from', 'a@example.com']],
      separator: 'added',
      header: 'From: a@example.com\r\n\r\n',
      body: 'no field',
    },
  },
  'a continuation before any field': {
    text: ' hidden: x\r\nFrom: a@example.com\r\n\r\n',
    expected: {
      fields: [],
      separator: 'added',
      header: '\r\n',
      body: ' hidden: x\r\nFrom: a@example.com\r\n\r\n',
    },
  },
  'an mbox line': {
    text: 'From someone Mon Jan 1\r\nFrom: a@example.com\r\n\r\n',
    expected: {
      fields: [],
      separator: 'added',
      header: '\r\n',
      body: 'From someone Mon Jan 1\r\nFrom: a@example.com\r\n\r\n',
    },
  },
  'WSP before the colon, an empty value and a blank continuation': {
    text: 'From \t: a@example.com\r\nX:\r\n \r\nY::z\r\n\r\nb',
    expected: {
      fields: [
        ['from', 'a@example.com'],
        ['x', ''],
        ['y', ':z'],
      ],
      separator: 'present',
      header: 'From \t: a@example.com\r\nX:\r\n \r\nY::z\r\n\r\n',
      body: 'b',
    },
  },
  'names that are none': {
    text: 'A: b\r\nÜ: x\r\n\r\n',
    expected: {
      fields: [['a', 'b']],
      separator: 'added',
      header: 'A: b\r\n\r\n',
      body: 'Ü: x\r\n\r\n',
    },
  },
  'a line that begins with a colon': {
    text: 'A: b\r\n: x\r\n',
    expected: {
      fields: [['a', 'b']],
      separator: 'added',
      header: 'A: b\r\n\r\n',
      body: ': x\r\n',
    },
  },
};

describe('header collector', () => {
  for (const [name, { text, expected }] of Object.entries(SHAPES)) {
    it(`reads ${name}, in one piece and octet by octet`, () => {
      assert.deepEqual(summary(text), expected);
      assert.deepEqual(summary(octetsOf(text)), expected);
    });
  }

  it('gives the same for any cut, and loses or adds nothing but the missing empty line', () => {
    const lines = fc.array(
      fc.constantFrom(
        'From: a@b\r\n',
        ' folded\r\n',
        '\r\n',
        'text\r\n',
        'X:y\r\n',
        ':\r\n',
        '\t\r\n',
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(lines, fc.array(fc.nat(200), { maxLength: 6 }), (parts, places) => {
        const text = Buffer.from(parts.join(''));
        const at = [...places.map((place) => place % (text.length + 1)), 0, text.length];
        at.sort((a, b) => a - b);
        const pieces = at.slice(1).map((end, index) => text.subarray(at[index], end));
        const { header, body } = completeOf(pieces);
        const sent = Buffer.concat([header.octets, ...body]).toString();
        const fields = Buffer.concat(header.fields.map((field) => field.octets)).toString();
        const separator = header.separator === 'absent' ? '' : '\r\n';
        assert.equal(header.octets.toString(), fields + separator);
        const added = header.separator === 'added' ? fields.length : sent.length;
        assert.equal(sent.slice(0, added) + sent.slice(added).replace('\r\n', ''), text.toString());
        assert.deepEqual(summary(pieces), summary([text]));
      }),
      { numRuns: 1000 },
    );
  });

  it('does not copy the header or the body of a message that comes in one piece', () => {
    const piece = Buffer.from('From: a@example.com\r\n\r\nbody');
    const { header, body } = completeOf([piece]);
    assert.equal(header.octets.buffer, piece.buffer);
    assert.equal(header.octets.byteOffset, piece.byteOffset);
    assert.equal(body[0]?.buffer, piece.buffer);
    assert.equal(body[0]?.byteOffset, piece.byteOffset + header.octets.length);
  });

  it('takes a header of exactly the limit and refuses one octet more', () => {
    const fits = `X: ${'x'.repeat(995)}\r\n`;
    assert.equal(fits.length, LIMITS.maxHeaderBytes);
    for (const cutter of [(text: string) => [Buffer.from(text)], octetsOf]) {
      assert.equal(collect(cutter(`${fits}\r\nbody`)).kind, 'complete');
      const refused = collect(cutter(`x${fits}\r\nbody`));
      assert.equal(refused.kind, 'refused');
      const { code, enhanced, rule } = refused.reply;
      assert.deepEqual([code, enhanced, rule], [552, '5.3.4', 'header.size']);
    }
  });

  it('refuses an endless line as soon as it is over the limit', () => {
    const collector = new HeaderCollector(LIMITS);
    assert.equal(collector.push(Buffer.alloc(900, 'x')).kind, 'more');
    assert.equal(collector.push(Buffer.alloc(900, 'x')).kind, 'refused');
  });

  it('refuses more fields than allowed', () => {
    assert.equal(completeOf(`${'a:\r\n'.repeat(20)}\r\n`).header.fields.length, 20);
    const refused = collect([Buffer.from(`${'a:\r\n'.repeat(21)}\r\n`)]);
    assert.equal(refused.kind, 'refused');
    assert.equal(refused.reply.rule, 'header.fields');
  });
});
