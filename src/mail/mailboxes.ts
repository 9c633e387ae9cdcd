import { domainToASCII } from 'node:url';

/*
 * Mailboxes of a From, Sender or other address field (RFC 5322 section 3.4 with the obsolete syntax of
 * section 4.4, RFC 6532 for UTF-8). The domain found here decides which key signs, so what can be read
 * in two ways is reported as malformed and not guessed. What is merely careless is read as everybody
 * reads it: an unquoted comma or `@` in a display name, a lone quote, text after the `>`.
 *
 * One pass from left to right, without recursion. An *element* is what stands between commas:
 * a bare address, or a display name and an address in angle brackets. `:` ends the name of a group and
 * `;` the group; since groups do not nest, its members are elements like any other.
 */

/** An address of an address field. */
export interface HeaderMailbox {
  /** Local part as written, with its quotes, without comments. */
  readonly localPart: string;
  /** Domain in lower case and as A-labels, or an address literal with its brackets. */
  readonly domain: string;
}

/** What an address field holds. */
export interface MailboxList {
  readonly mailboxes: readonly HeaderMailbox[];
  /** Something in the list looks like an address and is none, or can be read in two ways. */
  readonly malformed: boolean;
}

/** More mailboxes in one field than this make it malformed; the rest is not read. */
const MAX_MAILBOXES = 1000;

/**
 * Reads an address-list or mailbox-list. Never throws; time is linear in the length.
 *
 * @param value the unfolded value of the field
 */
export function parseMailboxes(value: string): MailboxList {
  return new AddressListReader(value).read();
}

/** Text of one element, or of its angle brackets: what may be an address. */
interface AddressText {
  /** Text before the `@`, or all of it: atoms, dots, quoted strings. */
  local: string;
  /** Text after the `@`; undefined: there was none. */
  domain: string | undefined;
  /** Two words without a dot or `@` between them, or a second `@`. */
  broken: boolean;
  /** WSP or a comment was the last thing. */
  afterSpace: boolean;
  /** The last thing before WSP was a dot. */
  afterDot: boolean;
}

class AddressListReader {
  readonly #text: string;
  #at = 0;
  readonly #mailboxes: HeaderMailbox[] = [];
  #malformed = false;
  /** No quote from here on is closed, so quotes are ordinary characters. */
  #quotesOver = false;

  constructor(text: string) {
    this.#text = text;
  }

  read(): MailboxList {
    let element = emptyAddress();
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at] as string;
      if (character === '<') {
        // The name before it does not matter, nor whether there is an `@` in it.
        this.#at += 1;
        this.#readAngle();
        element = emptyAddress();
      } else if (character === ',' || character === ';') {
        this.#at += 1;
        this.#finish(element);
        element = emptyAddress();
      } else if (character === ':') {
        this.#at += 1;
        element = emptyAddress();
      } else this.#readInto(element, character);
      if (this.#mailboxes.length > MAX_MAILBOXES) return { mailboxes: [], malformed: true };
    }
    this.#finish(element);
    return { mailboxes: this.#mailboxes, malformed: this.#malformed };
  }

  /** Reads `addr-spec ">"`, or `obs-route addr-spec ">"`. */
  #readAngle(): void {
    let address = emptyAddress();
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at] as string;
      if (character === '>') {
        this.#at += 1;
        // `<>` is no address and not meant to be one.
        if (address.local !== '' || address.domain !== undefined) this.#add(address);
        return;
      }
      if (character === ':' || character === ',') {
        this.#at += 1;
        // A source route, `@one,@two:`, says nothing about the author.
        if (address.local !== '') address.broken = true;
        else address = emptyAddress();
      } else if (character === '<') {
        this.#at += 1;
        address.broken = true;
      } else this.#readInto(address, character);
    }
    this.#malformed = true;
  }

  /** Reads one comment, quoted string, literal, run of WSP, `@` or other character. */
  #readInto(address: AddressText, character: string): void {
    if (character === '(') this.#skipComment(address);
    else if (character === '"' && !this.#quotesOver) this.#readQuoted(address);
    else if (character === '[' && address.domain === '') this.#readLiteral(address);
    else {
      this.#at += 1;
      if (character <= ' ' || character === '\u007f') address.afterSpace = true;
      else if (character === '@') {
        if (address.domain !== undefined) address.broken = true;
        address.domain = '';
        address.afterSpace = false;
      } else append(address, character);
    }
  }

  /** Comments nest (section 3.2.2); one that is not closed reaches to the end. */
  #skipComment(address: AddressText): void {
    let depth = 0;
    do {
      const character = this.#text[this.#at];
      if (character === '\\') this.#at += 1;
      else if (character === '(') depth += 1;
      else if (character === ')') depth -= 1;
      this.#at += 1;
    } while (depth > 0 && this.#at < this.#text.length);
    address.afterSpace = true;
  }

  #readQuoted(address: AddressText): void {
    let end = this.#at + 1;
    while (end < this.#text.length && this.#text[end] !== '"') {
      end += this.#text[end] === '\\' ? 2 : 1;
    }
    if (end >= this.#text.length) {
      this.#quotesOver = true;
      return;
    }
    append(address, this.#text.slice(this.#at, end + 1));
    this.#at = end + 1;
  }

  #readLiteral(address: AddressText): void {
    const end = this.#text.indexOf(']', this.#at);
    const stop = end < 0 ? this.#text.length : end + 1;
    append(address, this.#text.slice(this.#at, stop));
    this.#at = stop;
  }

  /** Ends a bare element. Words without an `@` are a name without an address, as `Doe, John <…>` has. */
  #finish(element: AddressText): void {
    if (element.domain !== undefined) this.#add(element);
  }

  #add(address: AddressText): void {
    const domain = address.domain === undefined ? undefined : asciiDomain(address.domain);
    if (address.broken || address.local === '' || domain === undefined) this.#malformed = true;
    else this.#mailboxes.push({ localPart: address.local, domain });
  }
}

function emptyAddress(): AddressText {
  return { local: '', domain: undefined, broken: false, afterSpace: false, afterDot: false };
}

/** Adds text to the part that is being read. WSP may only stand beside a dot or `@` (section 4.4). */
function append(address: AddressText, text: string): void {
  const part = address.domain ?? address.local;
  const adjoins = part === '' || !address.afterSpace || address.afterDot || text === '.';
  if (!adjoins || part.length > MAX_PART_CHARACTERS) address.broken = true;
  address.afterSpace = false;
  address.afterDot = text === '.';
  if (part.length > MAX_PART_CHARACTERS) return;
  if (address.domain === undefined) address.local += text;
  else address.domain += text;
}

/** A local part or domain over this length is none (RFC 5321 section 4.5.3.1 allows far less). */
const MAX_PART_CHARACTERS = 1000;
const DOMAIN_NAME =
  /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/;
const LITERAL = /^\[[a-z0-9.:-]{1,80}\]$/;
/** Longer text is no domain name, whatever its A-labels are; RFC 1035 section 2.3.4. */
const MAX_DOMAIN_CHARACTERS = 255;

/**
 * A domain as A-labels in lower case (RFC 5891), one final dot removed.
 *
 * @returns undefined when it is neither a domain name nor an address literal
 */
export function asciiDomain(text: string): string | undefined {
  if (text.length > MAX_DOMAIN_CHARACTERS) return undefined;
  const lower = text.toLowerCase();
  if (LITERAL.test(lower)) return lower;
  const named = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  // Only names outside ASCII are converted: the URL rules would take `127.1` for an address.
  const ascii = NON_ASCII.test(named) ? domainToASCII(named) : named;
  return DOMAIN_NAME.test(ascii) ? ascii : undefined;
}

const NON_ASCII = /[^\0-\x7f]/;
