import type { RemoteReply } from '../mail/reply.ts';

/** What a server offered in its EHLO reply (RFC 5321 section 4.1.1.1), as far as Waxseal uses it. */
export interface ServerFacts {
  /** RFC 2920. */
  readonly pipelining: boolean;
  /** RFC 6152. */
  readonly eightBitMime: boolean;
  /** RFC 6531. */
  readonly smtpUtf8: boolean;
  /** RFC 1870. */
  readonly size: boolean;
  /** Octets that the server takes at most; undefined: no limit is known. */
  readonly sizeLimit: number | undefined;
  /** RFC 3207. */
  readonly startTls: boolean;
  /** SASL mechanisms (RFC 4954), upper case. */
  readonly auth: readonly string[];
}

/** What a server offers that knows HELO only. */
export const NO_EXTENSIONS: ServerFacts = {
  pipelining: false,
  eightBitMime: false,
  smtpUtf8: false,
  size: false,
  sizeLimit: undefined,
  startTls: false,
  auth: [],
};

/** A line is a keyword and its parameters; `AUTH=LOGIN` is an old form that is still met. */
const EXTENSION = /^([a-z0-9][a-z0-9-]*)(?:[ =](.*))?$/i;

/**
 * Reads the reply to EHLO. A keyword counts only where the grammar has one: at the start of a line,
 * and not on the first line, which holds the server's name.
 *
 * @param lines the text of each line, without the code
 */
export function readServerFacts(lines: readonly string[]): ServerFacts {
  const offered = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const match = EXTENSION.exec(line.trimEnd());
    const keyword = match?.[1]?.toUpperCase();
    if (keyword !== undefined && !offered.has(keyword)) offered.set(keyword, match?.[2] ?? '');
  }
  const sizeText = offered.get('SIZE')?.trim() ?? '';
  const sizeLimit = /^[0-9]{1,15}$/.test(sizeText) ? Number(sizeText) : 0;
  const auth = (offered.get('AUTH') ?? '').toUpperCase().split(/[ =]/);
  return {
    pipelining: offered.has('PIPELINING'),
    eightBitMime: offered.has('8BITMIME'),
    smtpUtf8: offered.has('SMTPUTF8'),
    size: offered.has('SIZE'),
    sizeLimit: sizeLimit > 0 ? sizeLimit : undefined,
    startTls: offered.has('STARTTLS'),
    auth: auth.filter((mechanism) => mechanism !== ''),
  };
}

/**
 * A reply as nodemailer's actions take it. They look for STARTTLS anywhere in the reply to EHLO, so
 * that one holds the keyword exactly when the server offered it, and nothing else.
 */
export function textForStock({ code, lines, command }: RemoteReply): string {
  if (command !== 'EHLO') return `${code} ${lines.join(' ')}`;
  return readServerFacts(lines).startTls ? `${code}-x\n${code} STARTTLS` : `${code} x`;
}
