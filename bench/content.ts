/**
 * The messages that are sent. `mime` is what large mail looks like (base64 in lines of 76);
 * `prose` is the worst case for a canonicaliser and a dot encoder: runs of blanks and tabs, blanks
 * at line ends, empty lines, lines that begin with a dot. Both are the same for each run.
 */

export type ContentKind = 'mime' | 'prose';

export interface ContentOptions {
  readonly kind: ContentKind;
  /** Size of the whole message in octets, header and CRLF included, to within one line. */
  readonly bytes: number;
  /** Domain of the header From, which decides the signing key. */
  readonly fromDomain: string;
}

/** The lines of a message, without line ends and without dot-stuffing. */
export function contentLines(options: ContentOptions): string[] {
  const lines = headerLines(options);
  let left = options.bytes - lines.reduce((sum, line) => sum + line.length + 2, 0);
  const random = makeRandom(2026);
  while (left > 2) {
    const line = options.kind === 'mime' ? base64Line(random) : proseLine(random);
    const fitting = line.slice(0, Math.max(1, left - 2));
    lines.push(fitting);
    left -= fitting.length + 2;
  }
  return lines;
}

/** The message as it goes over the wire after DATA: CRLF, dots stuffed, final dot included. */
export function wireContent(lines: readonly string[]): Buffer {
  const stuffed = lines.map((line) => (line.startsWith('.') ? `.${line}` : line));
  return Buffer.from(`${stuffed.join('\r\n')}\r\n.\r\n`, 'latin1');
}

/** The message as a file with LF line ends, which is what `smtp-source -F` takes. */
export function fileContent(lines: readonly string[]): Buffer {
  return Buffer.from(`${lines.join('\n')}\n`, 'latin1');
}

function headerLines(options: ContentOptions): string[] {
  return [
    `From: "Bench Sender" <sender@${options.fromDomain}>`,
    'To: "A Recipient" <recipient@sink.example>',
    'Subject: Figures for the third quarter, as discussed on the telephone',
    'Date: Sat, 21 Nov 2026 03:00:00 +0000',
    `Message-ID: <20261121030000.1@${options.fromDomain}>`,
    'MIME-Version: 1.0',
    ...(options.kind === 'mime'
      ? ['Content-Type: application/octet-stream', 'Content-Transfer-Encoding: base64']
      : ['Content-Type: text/plain; charset=us-ascii', 'Content-Transfer-Encoding: 7bit']),
    '',
  ];
}

/** A linear congruential generator: repeatable, and good enough for filler text. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

function base64Line(random: (below: number) => number): string {
  let line = '';
  for (let i = 0; i < 76; i += 1) {
    line += BASE64[random(64)];
  }
  return line;
}

const WORDS = 'the relay keeps no queue and so it can never lose mail that a client gave it'.split(
  ' ',
);
const BLANKS = [' ', ' ', '  ', '   ', '\t', ' \t '];

function proseLine(random: (below: number) => number): string {
  const shape = random(20);
  if (shape === 0) {
    return '';
  }
  let line = shape <= 2 ? '.' : '';
  while (line.length < 66) {
    line += `${WORDS[random(WORDS.length)]}${BLANKS[random(BLANKS.length)]}`;
  }
  return shape < 12 ? line.trimEnd() : line;
}
