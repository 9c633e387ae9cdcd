import { foldWords, MAX_LINE_CHARACTERS } from '../mail/folding.ts';
import type { SigningKey } from '../mail/signer.ts';
import type { BodyCanonicalization } from './body-hasher.ts';
import { type HeaderCanonicalization, relaxedValue } from './header-canonicalization.ts';
import type { HeaderSelection } from './header-selection.ts';

/** What all signatures of the relay have in common. */
export interface SignatureOptions {
  /** `c=` in full, header first. */
  readonly canonicalization: `${HeaderCanonicalization}/${BodyCanonicalization}`;
  readonly selection: HeaderSelection;
  /** Seconds from `t=` to `x=`; 0: no `x=`. */
  readonly expireAfterS: number;
  /** Writes `i=@<domain>`. Receivers take the same from `d=` when it is absent. */
  readonly identity: boolean;
}

/** A DKIM-Signature field without its signature. */
export interface UnsignedField {
  /** The field from its name to `b=`, folded, without CRLF. */
  readonly text: string;
  /** Its canonical form, which is hashed last, without CRLF (RFC 6376 section 3.7). */
  readonly canonical: string;
}

/** The two parts of `c=`. */
export function canonicalizations(options: SignatureOptions): {
  readonly header: HeaderCanonicalization;
  readonly body: BodyCanonicalization;
} {
  const [header, body] = options.canonicalization.split('/');
  return {
    header: header === 'simple' ? 'simple' : 'relaxed',
    body: body === 'simple' ? 'simple' : 'relaxed',
  };
}

const NAME = 'DKIM-Signature';

/**
 * Makes the field for one key (RFC 6376 section 3.5). `b=` comes last and is empty, so the field that
 * is hashed is the one that is sent up to there, however `b=` is folded later.
 *
 * @param names the names for `h=`
 * @param bodyHash SHA-256 of the canonicalised body
 * @param nowS time of the signature, seconds since the epoch
 */
export function unsignedField(
  key: SigningKey,
  names: readonly string[],
  bodyHash: Buffer,
  nowS: number,
  options: SignatureOptions,
): UnsignedField {
  const tags = [
    'v=1;',
    `a=${key.signer.algorithm};`,
    `c=${options.canonicalization};`,
    `d=${key.domain};`,
    `s=${key.selector};`,
    `t=${nowS};`,
  ];
  if (options.expireAfterS > 0) tags.push(`x=${nowS + options.expireAfterS};`);
  if (options.identity) tags.push(`i=@${key.domain};`);
  const value = foldWords(
    [...tags, ...namesTag(names), `bh=${bodyHash.toString('base64')};`, 'b='],
    NAME.length + 2,
  );
  const text = `${NAME}: ${value}`;
  const { header } = canonicalizations(options);
  const canonical = header === 'simple' ? text : `${NAME.toLowerCase()}:${relaxedValue(value)}`;
  return { text, canonical };
}

/** `h=` in words of a few names each: between them a line may be folded (section 3.5). */
function namesTag(names: readonly string[]): string[] {
  const words: string[] = [];
  let word = 'h=';
  for (const [index, name] of names.entries()) {
    const piece = index === names.length - 1 ? `${name};` : `${name}:`;
    if (word.length + piece.length > MAX_WORD_CHARACTERS && word !== 'h=') {
      words.push(word);
      word = '';
    }
    word += piece;
  }
  words.push(word);
  return words;
}

/** Small enough that lines are filled, long enough that few blanks are spent. */
const MAX_WORD_CHARACTERS = 40;

/** The whole field with its signature, CRLF included. */
export function signedField(unsigned: UnsignedField, signature: Buffer): Buffer {
  const base64 = signature.toString('base64');
  const lastLine = unsigned.text.length - unsigned.text.lastIndexOf('\n') - 1;
  const first = Math.max(0, MAX_LINE_CHARACTERS - lastLine);
  const lines = [base64.slice(0, first)];
  for (let at = first; at < base64.length; at += MAX_LINE_CHARACTERS - 1) {
    lines.push(base64.slice(at, at + MAX_LINE_CHARACTERS - 1));
  }
  return Buffer.from(`${unsigned.text}${lines.join('\r\n\t')}\r\n`, 'latin1');
}

/** Room for tag names, numbers, `bh=`, and for fields that only a `*` in the lists covers. */
const FIXED_BYTES = 600;

/**
 * Upper bound, in octets, of the field that a key adds to a message whose signed fields are each
 * there once or absent, and which has no more than a dozen that only a `*` covers. For SIZE towards
 * the MX (RFC 1870), which is an estimate by its nature (section 6.1).
 */
export function signatureFieldBytes(key: SigningKey, options: SignatureOptions): number {
  const base64 = Math.ceil(key.signatureBytes / 3) * 4;
  const text =
    FIXED_BYTES +
    key.domain.length * 2 +
    key.selector.length +
    options.selection.usualNamesLength +
    base64;
  // Each line costs its fold; lines that end early at a long word double that at worst.
  return text + Math.ceil(text / 20) * 3;
}
