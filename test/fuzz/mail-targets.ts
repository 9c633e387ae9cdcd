import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { ContentDecoder } from '../../src/accept/content-decoder.ts';
import { parseMailCommand, parseRcptCommand } from '../../src/mail/address-command.ts';
import { findAuthor } from '../../src/mail/author.ts';
import { HeaderCollector } from '../../src/mail/header-collector.ts';
import { renderReply } from '../../src/mail/render-reply.ts';
import { ReplyParser } from '../../src/mail/reply-parser.ts';
import { DotEncoder } from '../../src/relay/dot-encoder.ts';
import { createBodyHasher } from '../../src/sign/body-hasher.ts';
import { chunksOf, type FuzzTarget } from './mutation.ts';

const { dkimBody } = createRequire(import.meta.url)('mailauth/lib/dkim/body') as {
  dkimBody(
    canonicalization: string,
    algorithm: string,
  ): { update(octets: Buffer): void; digest(encoding: 'base64'): string };
};

const LINE_ENDS = [
  '\r\n',
  '\r',
  '\n',
  '\0',
  '.',
  '\r\n.\r\n',
  '\n.\n',
  '\n.\r\n',
  '\r.\r',
  '\r\n..',
];
const ADDRESSES = [
  '@',
  '<',
  '>',
  '"',
  '\\',
  '(',
  ')',
  ',',
  ';',
  ':',
  '[',
  ']',
  '.',
  'xn--',
  '\xe9',
];
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not be there
const CONTROL = /[\u0000-\u001f\u007f]/;

function decode(chunks: readonly Buffer[]): { content: Buffer; ended: boolean; facts: object } {
  const decoder = new ContentDecoder();
  const pieces: Buffer[] = [];
  for (const chunk of chunks) {
    const step = decoder.push(chunk);
    pieces.push(...step.pieces);
    if (step.rest !== undefined) {
      return { content: Buffer.concat(pieces), ended: true, facts: decoder.facts };
    }
  }
  return { content: Buffer.concat(pieces), ended: false, facts: decoder.facts };
}

/** RFC 5321 section 4.5.2 on content that has CRLF line ends only, as plainly as can be. */
function unstuffed(wire: string): string {
  assert.ok(wire.endsWith('\r\n.\r\n') || wire === '.\r\n', 'no end of data');
  const lines = wire.slice(0, -'.\r\n'.length).split('\r\n');
  assert.ok(!lines.includes('.'), 'an end of data stands within the content');
  return lines.map((line) => (line.startsWith('.') ? line.slice(1) : line)).join('\r\n');
}

const content: FuzzTarget = {
  name: 'content: decoded, encoded and read by a strict server',
  seeds: ['Subject: a\r\n\r\n.. a line\r\nlast\r\n.\r\n', '.\r\n', 'a\r\n.b\r\n.\r\nQUIT\r\n'],
  words: LINE_ENDS,
  check: (input) => {
    const whole = decode([Buffer.from(input.octets)]);
    assert.deepEqual(decode(chunksOf(input)), whole, 'the chunks make a difference');
    const text = whole.content.toString('latin1');
    assert.doesNotMatch(text.replaceAll('\r\n', ''), /[\r\n\0]/, 'a stray line end or NUL');
    const encoder = new DotEncoder();
    const pieces = chunksOf({ octets: whole.content, cuts: input.cuts });
    const encoded = pieces.map((piece) => encoder.encode(piece));
    const wire = Buffer.concat([...encoded, encoder.end()]).toString('latin1');
    const complete = text === '' || text.endsWith('\r\n') ? text : `${text}\r\n`;
    assert.equal(unstuffed(wire), complete);
    // Nor may servers that are less strict see an end before the end.
    assert.doesNotMatch(wire.slice(0, -'\r\n.\r\n'.length), /[\r\n]\.[\r\n]/);
  },
};

const replies: FuzzTarget = {
  name: 'replies of an MX, and what the client gets of them',
  seeds: ['250-first\r\n250 last\r\n', '550 5.1.1 no such user\r\n421 bye\r\n', '354\r\n'],
  words: [
    '250',
    '250-',
    '550 ',
    '5.1.1 ',
    '\r\n',
    '\n',
    '\r',
    '\0',
    '\x1b[2J',
    '\xff',
    'x'.repeat(600),
  ],
  check: (input) => {
    const whole = new ReplyParser().push(input.octets);
    const parser = new ReplyParser();
    const found = chunksOf(input).flatMap((chunk) => [...parser.push(chunk)]);
    assert.deepEqual(found, whole, 'the chunks make a difference');
    for (const item of found) {
      if (item.kind === 'malformed') continue;
      const { code, lines } = item;
      const where = { host: 'mx.test', address: '192.0.2.1', command: 'RCPT' };
      const rendered = renderReply({ origin: 'remote', code, lines, ...where }, 'id').split('\r\n');
      assert.equal(rendered.pop(), '', 'no line end at the end');
      for (const line of rendered) assert.match(line, /^[2-5]\d\d[ -][\x20-\x7e]{0,506}$/);
    }
  },
};

const commands: FuzzTarget = {
  name: 'arguments of MAIL and RCPT',
  seeds: [
    'FROM:<a@example.com> SIZE=100 BODY=8BITMIME SMTPUTF8',
    'TO:<"a b"@example.com>',
    'TO:<@hop.example:user@[IPv6:::1]>',
    'FROM:<>',
  ],
  words: [
    ...ADDRESSES,
    'FROM:<',
    'TO:<',
    ' ',
    'SIZE=',
    'SMTPUTF8',
    '\r',
    '\n',
    '\0',
    '\u00c3\u00a9',
  ],
  check: ({ octets }) => {
    const mail = parseMailCommand(octets);
    const mailboxes = 'origin' in mail ? [] : [mail.reversePath];
    for (const smtpUtf8 of [true, false]) {
      const rcpt = parseRcptCommand(octets, smtpUtf8);
      if (!('origin' in rcpt)) mailboxes.push(rcpt);
      if (!smtpUtf8 && !('origin' in rcpt)) assert.match(rcpt.address, /^[\x20-\x7e]*$/);
    }
    for (const mailbox of mailboxes) {
      if (mailbox === undefined) continue;
      assert.doesNotMatch(mailbox.address, CONTROL);
      assert.match(mailbox.domain, /^([a-z0-9_.-]*|\[[0-9A-Za-z:.]+\])$/);
    }
  },
};

function collect(chunks: readonly Buffer[]): { kind: string; whole?: string; author?: object } {
  const collector = new HeaderCollector({ maxHeaderBytes: 20_000, maxFields: 100 });
  let result: ReturnType<HeaderCollector['push']> = { kind: 'more' };
  const later: Buffer[] = [];
  for (const chunk of chunks) {
    if (result.kind === 'more') result = collector.push(chunk);
    else later.push(chunk);
  }
  if (result.kind === 'more') result = collector.end();
  if (result.kind !== 'complete') return { kind: result.kind };
  const whole = Buffer.concat([result.header.octets, ...result.body, ...later]);
  return { kind: 'complete', whole: whole.toString('latin1'), author: findAuthor(result.header) };
}

const headers: FuzzTarget = {
  name: 'headers and the author in them',
  seeds: [
    'From: "A, B" <a@example.com>\r\nSubject: x\r\n folded\r\n\r\nbody\r\n',
    'From: a@example.com, b@example.net\r\nSender: b@example.net\r\n\r\n',
    'From: Group: a@example.com, (c) <b@xn--bcher-kva.example>;\r\n\r\n',
  ],
  words: [...ADDRESSES, 'From:', 'Sender: ', '\r\n', ' ', '\t', '\r\n\r\n', '=?utf-8?q?x?='],
  check: (input) => {
    // The collector is given normalised content only.
    const text = input.octets.toString('latin1').replace(/\r?\n|\r/g, '\r\n');
    const octets = Buffer.from(text.replaceAll('\0', ' '), 'latin1');
    const one = collect([octets]);
    assert.deepEqual(collect(chunksOf({ octets, cuts: input.cuts })), one, 'the chunks matter');
    if (one.whole === undefined) return;
    const added = one.whole.length - octets.length;
    assert.ok(added === 0 || added === 2, `${added} octets were added`);
    const author = one.author as ReturnType<typeof findAuthor>;
    if (author.kind === 'refused') return;
    assert.doesNotMatch(author.domain, CONTROL);
    assert.match(author.domain, /^[^\s@<>;]+$/);
  },
};

const hashes: FuzzTarget = {
  name: "body hashes against mailauth's",
  seeds: ['a  b \r\n\r\n\tc\r\n\r\n\r\n', '', ' \r\n \r\n', 'no line end  '],
  words: ['\r\n', ' ', '\t', '  ', 'a', '.', 'text and more text', '\xff'],
  check: (input) => {
    const text = input.octets.toString('latin1').replace(/\r\n|\r|\n/g, '\r\n');
    const octets = Buffer.from(text, 'latin1');
    for (const canonicalization of ['simple', 'relaxed'] as const) {
      const theirs = dkimBody(`relaxed/${canonicalization}`, 'sha256');
      theirs.update(octets);
      const ours = createBodyHasher(canonicalization);
      for (const chunk of chunksOf({ octets, cuts: input.cuts })) ours.update(chunk);
      assert.equal(ours.digest().toString('base64'), theirs.digest('base64'), canonicalization);
    }
  },
};

/** Parsers of what clients and MXs send. */
export const mailTargets: readonly FuzzTarget[] = [content, replies, commands, headers, hashes];
