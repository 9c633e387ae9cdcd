import { isSelector, toSigningDomain } from '../key-name.ts';
import {
  isWildcardPattern,
  matchesWildcard,
  type ParsedTable,
  type TableRemark,
} from './opendkim-table.ts';
import type { RuleScope, SigningRule, SigningTable } from './signing-rules.ts';

/**
 * From OpenDKIM's tables to a keyring. OpenDKIM chooses keys by the author's whole address and
 * signs as any domain; Waxseal chooses by the author's domain and signs as that, or as a parent
 * that says `subdomains`. So nothing is translated line by line: for each domain that the tables
 * are about they are asked as OpenDKIM would ask them, and what Waxseal would do in the same way
 * is planned. Everything else is listed with its line.
 */

/** A key that one domain is to have. */
export interface PlannedKey {
  readonly domain: string;
  readonly selector: string;
  /** True: it signed for the subdomains too. */
  readonly subdomains: boolean;
  /** The third field of the KeyTable, `%` replaced: a path, or the key itself. Never shown. */
  readonly keyData: string;
  /** The line of the KeyTable. */
  readonly place: string;
}

export interface OpenDkimPlan {
  readonly keys: readonly PlannedKey[];
  /** What Waxseal cannot do in this way: the operator must act. */
  readonly untranslated: readonly TableRemark[];
  /** What is translated and should be known. */
  readonly remarks: readonly TableRemark[];
}

export interface PlanInput {
  readonly keyTable: ParsedTable;
  readonly signingTable: SigningTable;
  /** `MultipleSignatures`. */
  readonly multiple: boolean;
  /** Domains that a pattern such as `*` stands for (A-labels): from the operator, and from disk. */
  readonly domains: readonly string[];
  /** The operator says that each domain may sign for all its subdomains. */
  readonly subdomains: boolean;
}

/** A user and a subdomain that no line can name: only `*` matches it. */
const NOBODY = '\u{e000}';

/** Plans the import. No I/O. */
export function planOpenDkim(input: PlanInput): OpenDkimPlan {
  return new Planner(input).plan();
}

/** The entry of a key name, as the KeyTable has it. */
interface KeyRow {
  readonly name: string;
  /** Fixed, or undefined for `%`. */
  readonly domain: string | undefined;
  readonly selector: string;
  readonly keyData: string;
  readonly line: number;
}

/** What the tables give for an address. */
interface Chosen {
  readonly rule: SigningRule;
  readonly row: KeyRow;
  /** The signing domain, d=. */
  readonly signs: string;
}

class Planner {
  readonly #input: PlanInput;
  readonly #rows: readonly KeyRow[];
  /** The first of a name counts. */
  readonly #byName: ReadonlyMap<string, KeyRow>;
  readonly #keys = new Map<string, PlannedKey>();
  readonly #untranslated: TableRemark[] = [];
  readonly #remarks: TableRemark[] = [];
  readonly #usedRows = new Set<KeyRow>();
  readonly #told = new Set<string>();

  constructor(input: PlanInput) {
    this.#input = input;
    this.#rows = input.keyTable.rows.flatMap((row) => {
      const [domain = '', selector = '', ...rest] = row.value.split(':');
      const keyData = rest.join(':');
      if (domain !== '' && selector !== '' && keyData !== '') {
        const fixed = domain === '%' ? undefined : domain.toLowerCase();
        return [{ name: row.name, domain: fixed, selector, keyData, line: row.line }];
      }
      this.#cannot(
        this.#keyPlace(row.line),
        `the entry of "${row.name}" is not DOMAIN:SELECTOR:KEY`,
      );
      return [];
    });
    this.#byName = new Map(this.#rows.toReversed().map((row) => [row.name, row]));
  }

  plan(): OpenDkimPlan {
    const { rules } = this.#input.signingTable;
    const scoped = rules.map((rule) => ({ rule, scope: this.#input.signingTable.scopeOf(rule) }));
    const domains = this.#domainsOf(scoped.map(({ scope }) => scope));
    for (const domain of domains.exact) this.#planDomain(domain);
    for (const domain of domains.parents) this.#planSubdomains(domain);
    for (const { rule, scope } of scoped) this.#checkRule(rule, scope);
    for (const row of this.#rows) {
      if (this.#usedRows.has(row)) continue;
      this.#remark(this.#keyPlace(row.line), `no line signs with "${row.name}": it is left out`);
    }
    this.#remarkChoices();
    return {
      keys: [...this.#keys.values()],
      untranslated: this.#untranslated,
      remarks: [...this.#input.keyTable.remarks, ...this.#remarks],
    };
  }

  /** The domains that the tables are about, and those under which subdomains are signed. */
  #domainsOf(scopes: readonly RuleScope[]): { exact: Set<string>; parents: Set<string> } {
    const exact = new Set<string>();
    const parents = new Set<string>();
    for (const scope of scopes) {
      if (scope.kind === 'domain' || scope.kind === 'ending') exact.add(scope.domain);
      if (scope.kind === 'subdomains' || scope.kind === 'ending') parents.add(scope.domain);
      if (scope.kind === 'address' && scope.domain !== undefined) exact.add(scope.domain);
      if (scope.kind !== 'everybody') continue;
      for (const row of this.#rows) if (row.domain !== undefined) exact.add(row.domain);
    }
    for (const domain of this.#input.domains) exact.add(domain);
    return { exact, parents };
  }

  #planDomain(domain: string): void {
    for (const chosen of this.#choose(NOBODY, domain)) {
      if (chosen.signs === domain) this.#add(chosen, false);
      else if (this.#input.subdomains && domain.endsWith(`.${chosen.signs}`))
        this.#add(chosen, true);
      else if (!this.#isCoveredByParent(chosen, domain)) {
        const place = this.#rulePlace(chosen.rule);
        const message = `mail of ${domain} was signed as ${chosen.signs}`;
        this.#cannot(place, message, signedAsOther(domain, chosen.signs));
      }
    }
  }

  /** `*@sub.example.com` with a key of example.com, where all other subdomains have that too. */
  #isCoveredByParent({ row, signs }: Chosen, domain: string): boolean {
    if (!domain.endsWith(`.${signs}`)) return false;
    return this.#choose(NOBODY, `${NOBODY}.${signs}`).some((other) => other.row === row);
  }

  #planSubdomains(domain: string): void {
    const own = this.#choose(NOBODY, domain);
    const probe = `${NOBODY}.${domain}`;
    for (const rule of this.#rulesFor(NOBODY, probe)) {
      if (rule.keyName === '%') this.#tellOfEachSubdomain(rule, domain);
    }
    const below = this.#choose(NOBODY, probe);
    const [first] = below;
    if (first !== undefined && below.length < own.length) {
      const message = `subdomains of ${domain} were signed with fewer of its keys`;
      this.#remark(this.#rulePlace(first.rule), message);
    }
    for (const chosen of below) {
      const place = this.#rulePlace(chosen.rule);
      if (chosen.signs === probe) this.#tellOfEachSubdomain(chosen.rule, domain);
      else if (chosen.signs !== domain) {
        const message = `mail of subdomains of ${domain} was signed as ${chosen.signs}`;
        this.#cannot(place, message, signedAsOther(`subdomains of ${domain}`, chosen.signs));
      } else if (own.length > 0 && !own.some((other) => other.row === chosen.row)) {
        const message = `subdomains of ${domain} were signed with another key than ${domain}`;
        this.#cannot(place, message, 'Waxseal signs for subdomains with the keys of the domain');
      } else {
        if (own.length === 0) {
          const message = `${domain} itself was not signed, only its subdomains; now it is`;
          this.#remark(place, message);
        }
        this.#add(chosen, true);
      }
    }
  }

  #tellOfEachSubdomain(rule: SigningRule, domain: string): void {
    const place = this.#rulePlace(rule);
    const named = this.#input.domains.filter((name) => name.endsWith(`.${domain}`));
    const message = `each subdomain of ${domain} was signed as itself`;
    if (named.length === 0) {
      this.#cannot(place, message, 'name the subdomains with --for, once each');
    } else this.#remark(place, `${message}; it is taken for ${named.join(', ')}`);
  }

  #checkRule(rule: SigningRule, scope: RuleScope): void {
    const place = this.#rulePlace(rule);
    if (rule.keyName === '') this.#cannot(place, `"${rule.pattern}" names no key`);
    switch (scope.kind) {
      case 'unknown':
        this.#cannot(place, `"${rule.pattern}" ${scope.reason}`, scope.hint);
        break;
      case 'address':
        this.#checkAddress(rule, scope.user, scope.domain);
        break;
      case 'everybody':
        this.#checkEverybody(rule);
        break;
      case 'ending':
        this.#remark(
          place,
          `"${rule.pattern}" also matched other domains that end in ${scope.domain}`,
        );
        break;
      case 'domain':
      case 'subdomains':
    }
    if (rule.signer !== '') {
      this.#remark(place, 'the signer for i= is left out: Waxseal writes d= only');
    }
  }

  /** A line for one address changes nothing where the whole domain has the same keys. */
  #checkAddress(rule: SigningRule, user: string, domain: string | undefined): void {
    const rows = (name: string, of: string) => this.#choose(name, of).map(({ row }) => row.line);
    const isSame =
      domain !== undefined && String(rows(user, domain)) === String(rows(NOBODY, domain));
    if (isSame) return;
    this.#cannot(
      this.#rulePlace(rule),
      `"${rule.pattern}" is for single addresses`,
      'Waxseal chooses keys by the whole author domain',
    );
  }

  #checkEverybody(rule: SigningRule): void {
    const place = this.#rulePlace(rule);
    const name = rule.keyName === '%' ? undefined : rule.keyName;
    const row = name === undefined ? undefined : this.#row(name);
    if (row?.domain !== undefined) {
      const message = `"${rule.pattern}" signs the mail of every domain as ${row.domain}`;
      const hint = `set signing.unmatched to "fallback:${row.domain}" if that is meant`;
      this.#cannot(place, message, hint);
    } else if (this.#input.domains.length === 0) {
      const message = `"${rule.pattern}" signs every domain as itself, and does not say which there are`;
      this.#cannot(place, message, 'name the domains with --for, once each');
    } else {
      const message = `"${rule.pattern}" is taken for ${this.#input.domains.join(', ')}`;
      this.#remark(place, message);
    }
  }

  #remarkChoices(): void {
    const byDomain = Map.groupBy(this.#keys.values(), (key) => key.domain);
    for (const [domain, keys] of byDomain) {
      if (keys.length < 2) continue;
      const selectors = keys.map((key) => key.selector).join(', ');
      const message = `${domain} has several keys: ${selectors}; one RSA and one Ed25519 key can be active`;
      this.#remark(this.#input.keyTable.path, message);
    }
  }

  #rulesFor(user: string, domain: string): readonly SigningRule[] {
    const matches = this.#input.signingTable.matches(user, domain);
    return this.#input.multiple ? matches : matches.slice(0, 1);
  }

  /** Asks the tables as OpenDKIM does. */
  #choose(user: string, domain: string): readonly Chosen[] {
    return this.#rulesFor(user, domain).flatMap((rule) => {
      const name = rule.keyName === '%' ? domain : rule.keyName;
      const row = name === '' ? undefined : this.#row(name);
      if (row === undefined) {
        // What the key of every subdomain is called cannot be asked; see `#planSubdomains`.
        const isKnown = name !== '' && !name.startsWith(NOBODY);
        if (isKnown) this.#cannot(this.#rulePlace(rule), `the KeyTable has no key "${name}"`);
        return [];
      }
      this.#usedRows.add(row);
      return [{ rule, row, signs: row.domain ?? domain }];
    });
  }

  #row(name: string): KeyRow | undefined {
    if (this.#input.keyTable.kind === 'file') return this.#byName.get(name);
    return this.#rows.find((row) => isWildcardPattern(row.name) && matchesWildcard(row.name, name));
  }

  #add({ row, signs }: Chosen, subdomains: boolean): void {
    const place = this.#keyPlace(row.line);
    const domain = toSigningDomain(signs);
    if (domain === undefined) {
      this.#cannot(place, `"${signs}" is no domain name`);
      return;
    }
    const selector = row.selector.toLowerCase();
    if (!isSelector(selector)) {
      this.#cannot(place, `"${row.selector}" is no selector that Waxseal uses`);
      return;
    }
    // Only what begins with a slash is a template (dkimf_add_signrequest).
    const keyData = row.keyData.startsWith('/') ? row.keyData.replaceAll('%', signs) : row.keyData;
    const id = JSON.stringify([domain, selector, row.line]);
    const before = this.#keys.get(id);
    const isWide = subdomains || before?.subdomains === true;
    this.#keys.set(id, { domain, selector, subdomains: isWide, keyData, place });
  }

  #rulePlace(rule: SigningRule): string {
    return `${this.#input.signingTable.path}:${rule.line}`;
  }

  #keyPlace(line: number): string {
    return `${this.#input.keyTable.path}:${line}`;
  }

  #cannot(place: string, message: string, hint?: string): void {
    this.#tell(this.#untranslated, place, message, hint);
  }

  #remark(place: string, message: string): void {
    this.#tell(this.#remarks, place, message, undefined);
  }

  /** The same question is asked for several reasons; one answer is enough. */
  #tell(list: TableRemark[], place: string, message: string, hint: string | undefined): void {
    const id = `${place} ${message}`;
    if (this.#told.has(id)) return;
    this.#told.add(id);
    list.push(hint === undefined ? { place, message } : { place, message, hint });
  }
}

function signedAsOther(domain: string, signs: string): string {
  return domain.endsWith(`.${signs}`)
    ? `if ${signs} may sign for all its subdomains, import it with --subdomains`
    : `Waxseal signs as the author's domain: make keys for ${domain} with "waxseal keys create"`;
}
