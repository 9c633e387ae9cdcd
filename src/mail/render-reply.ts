import type { LocalReply, RemoteReply, Reply } from './reply.ts';

/*
 * A reply as octets on the wire. What comes out is one well-formed reply (RFC 5321 section 4.2):
 * printable ASCII, at most 512 octets a line with its CRLF, the same code on every line, and a
 * bounded number of lines, whatever an MX or a bug put into the value.
 */

/** A reply line is at most 512 octets long with CRLF (RFC 5321 section 4.5.3.1.5). */
const MAX_LINE = 510;
/** Lines of one rendered reply; what an MX says beyond them is cut off. */
const MAX_LINES = 100;
/** Used where a value has no usable code. */
const BROKEN_CODE = 451;
const ENHANCED = /^([245])\.\d{1,3}\.\d{1,3}(?= |$)/;
const ANY_UNSAFE = /[^\x20-\x7e]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters become spaces
const CONTROL = /[\u0000-\u001f\u007f]/g;
const NOT_ASCII = /[^\x20-\x7e]/g;

/**
 * Renders a reply for the client.
 *
 * A local reply carries its enhanced code on each line, and its last line ends in
 * `[waxseal RULE ID]`. A remote reply keeps its code, text and lines; only what could break the
 * dialogue is neutralised: control characters become spaces, other octets outside ASCII `?`, long
 * lines are folded, a line without an enhanced code of the reply's class gets `X.0.0` (RFC 2034),
 * and 421 becomes 451, since 421 would end the client's session (RFC 5321 section 3.8).
 *
 * @param id transaction id, or session id where there is no transaction; for the suffix
 * @returns ASCII text of all lines, each with its CRLF
 */
export function renderReply(reply: Reply, id: string): string {
  const code = wireCode(reply);
  const lines = reply.origin === 'local' ? localLines(reply, code, id) : remoteLines(reply, code);
  if (lines.length > MAX_LINES) lines.length = MAX_LINES;
  const last = lines.length - 1;
  let text = '';
  for (const [index, line] of lines.entries()) {
    text += `${code}${index === last ? ' ' : '-'}${line}\r\n`;
  }
  return text;
}

function wireCode(reply: Reply): number {
  const { code } = reply;
  if (!Number.isInteger(code) || code < 200 || code > 599) return BROKEN_CODE;
  return reply.origin === 'remote' && code === 421 ? 451 : code;
}

function localLines(reply: LocalReply, code: number, id: string): string[] {
  const suffix = reply.enhanced === undefined ? '' : ` [waxseal ${token(reply.rule)} ${token(id)}]`;
  const enhanced = reply.enhanced === undefined ? '' : `${localEnhanced(reply.enhanced, code)} `;
  const room = MAX_LINE - 4 - enhanced.length;
  const folded = reply.lines.slice(0, MAX_LINES - 1).flatMap((line) => fold(clean(line), room));
  folded.length = Math.min(folded.length, MAX_LINES - 1);
  const last = folded.pop() ?? '';
  const tail = last.length + suffix.length <= room ? [last + suffix] : [last, suffix.trimStart()];
  return [...folded, ...tail].map((line) => enhanced + line);
}

function remoteLines(reply: RemoteReply, code: number): string[] {
  const class_ = String(code).charAt(0);
  // 3xx replies carry no enhanced code (RFC 2034 section 4).
  const missing = class_ === '3' ? '' : `${class_}.0.0 `;
  const lines = reply.lines.length === 0 ? [''] : reply.lines.slice(0, MAX_LINES);
  return lines.flatMap((raw) => {
    const line = clean(raw);
    const match = ENHANCED.exec(line);
    const own = match?.[1] === class_ ? `${match[0]} ` : '';
    const text = own === '' ? line : line.slice(own.length);
    const prefix = own === '' ? missing : own;
    return fold(text, MAX_LINE - 4 - prefix.length).map((piece) => prefix + piece);
  });
}

/** A local enhanced code of another class than the code would be a bug; the code counts. */
function localEnhanced(enhanced: string, code: number): string {
  const class_ = String(code).charAt(0);
  return ENHANCED.exec(enhanced)?.[0] === enhanced && enhanced.startsWith(class_)
    ? enhanced
    : `${class_}.0.0`;
}

/** Nearly every line is clean already, and one pass tells. */
function clean(line: string): string {
  if (!ANY_UNSAFE.test(line)) return line;
  return line.replace(CONTROL, ' ').replace(NOT_ASCII, '?');
}

/** Part of the suffix: one bounded word. */
function token(text: string): string {
  return clean(text).replaceAll(' ', '_').slice(0, 64) || '-';
}

/** Cuts a line into pieces, after a space where there is one in the last quarter. */
function fold(line: string, room: number): string[] {
  if (line.length <= room) return [line];
  const pieces: string[] = [];
  let rest = line;
  while (rest.length > room && pieces.length < MAX_LINES) {
    const space = rest.lastIndexOf(' ', room - 1);
    const end = space > room * 0.75 ? space + 1 : room;
    pieces.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  pieces.push(rest.slice(0, room));
  return pieces;
}
