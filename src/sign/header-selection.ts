import { WaxsealError } from '../base/errors.ts';
import type { HeaderField } from '../mail/header-fields.ts';

/**
 * Which header fields are signed; names in any case, `Name-*` stands for all names that begin so. A
 * name counts in the first list that has it; a name written out counts before a `*`.
 */
export interface HeaderLists {
  /** Signed once more than they are present, even if absent: another one breaks the signature. */
  readonly alwaysOversigned: readonly string[];
  /** Signed once more than they are present, if present. */
  readonly oversignedIfPresent: readonly string[];
  /** Each present one is signed. */
  readonly signedIfPresent: readonly string[];
}

/**
 * Fields that change or come on the way (RFC 6376 section 5.4.1), or that must not be there: signing
 * them breaks the signature sooner or later, so the configuration refuses them.
 */
const NEVER_SIGNED = [
  'received',
  'return-path',
  'bcc',
  'dkim-signature',
  'authentication-results',
  'arc-*',
];

/** What of one message is signed. */
export interface SignedFields {
  /** The names for `h=`, in order, repeated as often as signed. */
  readonly names: readonly string[];
  /** The fields that those names stand for, in the same order; absent ones have none. */
  readonly fields: readonly HeaderField[];
}

type Treatment = 'always' | 'oversigned' | 'signed';

/** The lists, checked and made ready for look-ups; one for all messages. */
export class HeaderSelection {
  readonly #always: readonly string[];
  readonly #byName = new Map<string, Treatment>();
  readonly #byPrefix: { readonly prefix: string; readonly treatment: Treatment }[] = [];

  /** @throws WaxsealError `config-invalid` for a name that is none or must not be signed */
  constructor(lists: HeaderLists) {
    // RFC 6376 section 5.4: "The From header field MUST be signed", whatever the lists say.
    const always = new Set(['from', ...lists.alwaysOversigned.map((name) => name.toLowerCase())]);
    this.#always = [...always];
    this.#add('alwaysOversigned', this.#always, 'always');
    this.#add('oversignedIfPresent', lists.oversignedIfPresent, 'oversigned');
    this.#add('signedIfPresent', lists.signedIfPresent, 'signed');
  }

  /**
   * Chooses the fields of a message. Those always oversigned come first, in the order of their list,
   * then the others in the order of their first appearance. Of several with one name the lowest comes
   * first (RFC 6376 section 5.4.2).
   *
   * @param fields all fields from top to bottom, those that Waxseal puts on top included
   */
  select(fields: readonly HeaderField[]): SignedFields {
    const present = new Map<string, HeaderField[]>(this.#always.map((name) => [name, []]));
    for (const field of fields) {
      const known = present.get(field.name);
      if (known !== undefined) known.push(field);
      else if (this.#treatment(field.name) !== undefined) present.set(field.name, [field]);
    }
    const names: string[] = [];
    const chosen: HeaderField[] = [];
    for (const [name, instances] of present) {
      for (const field of instances.toReversed()) {
        names.push(name);
        chosen.push(field);
      }
      if (this.#treatment(name) !== 'signed') names.push(name);
    }
    return { names, fields: chosen };
  }

  /** Characters of `h=` for a message that has each named field once; for size estimates. */
  get usualNamesLength(): number {
    let length = 0;
    for (const [name, treatment] of this.#byName) {
      length += (name.length + 1) * (treatment === 'signed' ? 1 : 2);
    }
    return length;
  }

  #treatment(name: string): Treatment | undefined {
    return (
      this.#byName.get(name) ??
      this.#byPrefix.find(({ prefix }) => name.startsWith(prefix) && isPlainName(name))?.treatment
    );
  }

  #add(list: string, names: readonly string[], treatment: Treatment): void {
    for (const written of names) {
      const name = written.toLowerCase();
      const wildcard = treatment !== 'always' && name.endsWith('*');
      checkName(list, written, wildcard ? name.slice(0, -1) : name, wildcard);
      if (wildcard) this.#byPrefix.push({ prefix: name.slice(0, -1), treatment });
      else if (!this.#byName.has(name)) this.#byName.set(name, treatment);
    }
  }
}

/** A field name that may stand in `h=` (RFC 6376 section 3.5: no `;` there). */
const FIELD_NAME = /^[\x21-\x39\x3c-\x7e]+$/;

/** Longer ones are no names that anyone uses, and would not fit a line of `h=`. */
const MAX_NAME_CHARACTERS = 64;

/** Whether a name that the message chose, under a `*` of ours, may go into `h=` as it is. */
function isPlainName(name: string): boolean {
  return name.length <= MAX_NAME_CHARACTERS && FIELD_NAME.test(name) && !isNeverSigned(name);
}

function checkName(list: string, written: string, name: string, wildcard: boolean): void {
  const where = `signing.headers.${list}: ${JSON.stringify(written)}`;
  if (!FIELD_NAME.test(name) || name.includes('*')) {
    throw new WaxsealError('config-invalid', `${where} is no header field name`, {
      hint: 'Write a name without the colon; only the two ...IfPresent lists take Name-*',
    });
  }
  const forbidden = wildcard
    ? NEVER_SIGNED.some((never) => never.replace('*', '').startsWith(name) || isNeverSigned(name))
    : isNeverSigned(name);
  if (forbidden) {
    throw new WaxsealError('config-invalid', `${where} must not be signed`, {
      hint: 'Mail servers on the way add or change this field, which breaks the signature',
    });
  }
}

function isNeverSigned(name: string): boolean {
  return NEVER_SIGNED.some((never) =>
    never.endsWith('*') ? name.startsWith(never.slice(0, -1)) : name === never,
  );
}
