import {
  isWildcardPattern,
  matchesWildcard,
  type ParsedTable,
  type TableRow,
} from './opendkim-table.ts';

/**
 * Which lines of a SigningTable apply to an address, as `dkimf_apply_signtable` in OpenDKIM's
 * opendkim.c finds them: the first match, or with `MultipleSignatures` all.
 *
 * `refile:` goes through the patterns in their order. A plain file is asked for user@host, host,
 * user@.domain and .domain for each parent, user@*, and `*`.
 */

export interface SigningRule {
  readonly line: number;
  /** In lower case; the SigningTable is read without regard to case. */
  readonly pattern: string;
  /** A name of the KeyTable; `%` stands for the author's domain. */
  readonly keyName: string;
  /** For `i=`; empty: none. */
  readonly signer: string;
}

/** For whom a rule was written, as far as it can be told. */
export type RuleScope =
  | { readonly kind: 'domain'; readonly domain: string }
  | { readonly kind: 'subdomains'; readonly domain: string }
  /** The domain, those under it, and others that end in the same letters. */
  | { readonly kind: 'ending'; readonly domain: string }
  | { readonly kind: 'everybody' }
  | { readonly kind: 'address'; readonly user: string; readonly domain: string | undefined }
  /** `reason` completes "this line …". */
  | { readonly kind: 'unknown'; readonly reason: string; readonly hint?: string };

/** A signing table that can be asked. */
export interface SigningTable {
  readonly path: string;
  readonly rules: readonly SigningRule[];
  scopeOf(rule: SigningRule): RuleScope;
  /** All that match, in the order in which OpenDKIM tries them. */
  matches(user: string, domain: string): readonly SigningRule[];
}

export function signingTable(table: ParsedTable): SigningTable {
  const rules = table.rows.map(ruleOf);
  const { path } = table;
  if (table.kind === 'file') {
    const byPattern = new Map<string, SigningRule>();
    for (const rule of rules) {
      if (!byPattern.has(rule.pattern)) byPattern.set(rule.pattern, rule);
    }
    const matches = (user: string, domain: string) =>
      plainLookups(user, domain)
        .map((name) => byPattern.get(name))
        .filter((rule) => rule !== undefined);
    return { path, rules, scopeOf: plainScope, matches };
  }
  return { path, rules, scopeOf: wildcardScope, matches: wildcardMatches(rules) };
}

/** Most tables have a line for each domain, so lines are looked up by the domain they are for. */
function wildcardMatches(rules: readonly SigningRule[]): SigningTable['matches'] {
  const byDomain = new Map<string, SigningRule[]>();
  const others: SigningRule[] = [];
  for (const rule of rules) {
    if (!isWildcardPattern(rule.pattern)) continue;
    const scope = wildcardScope(rule);
    if (scope.kind !== 'domain' && scope.kind !== 'subdomains') others.push(rule);
    else if (byDomain.has(scope.domain)) byDomain.get(scope.domain)?.push(rule);
    else byDomain.set(scope.domain, [rule]);
  }
  return (user, domain) => {
    const address = `${user}@${domain}`.toLowerCase();
    const names = [domain, ...parentsOf(domain)].map((name) => name.toLowerCase());
    return [...names.flatMap((name) => byDomain.get(name) ?? []), ...others]
      .filter((rule) => matchesWildcard(rule.pattern, address))
      .sort((one, other) => one.line - other.line);
  };
}

function parentsOf(domain: string): string[] {
  const labels = domain.split('.');
  return labels.slice(1).map((_label, index) => labels.slice(index + 1).join('.'));
}

function ruleOf(row: TableRow): SigningRule {
  const [keyName = '', ...signer] = row.value.split(':');
  const pattern = row.name.toLowerCase();
  return { line: row.line, pattern, keyName, signer: signer.join(':') };
}

function plainLookups(user: string, domain: string): string[] {
  const names = [`${user}@${domain}`, domain];
  for (const parent of parentsOf(domain)) names.push(`${user}@.${parent}`, `.${parent}`);
  return [...names, `${user}@*`, '*'].map((name) => name.toLowerCase());
}

function plainScope({ pattern }: SigningRule): RuleScope {
  if (pattern === '*') return { kind: 'everybody' };
  const [, user, host = ''] = /^([^@]*)@(.*)$/.exec(pattern) ?? [];
  if (user === undefined) {
    if (pattern.includes('*')) return neverMatches;
    return pattern.startsWith('.')
      ? { kind: 'subdomains', domain: pattern.slice(1) }
      : { kind: 'domain', domain: pattern };
  }
  if (user.includes('*') || (host.includes('*') && host !== '*')) return neverMatches;
  return { kind: 'address', user, domain: /^[.*]/.test(host) ? undefined : host };
}

const neverMatches: RuleScope = {
  kind: 'unknown',
  reason: 'never matches: in a plain file "*" is a wildcard only as "*" and "user@*"',
  hint: 'was refile: meant?',
};

const NAME = '[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9])?';
const WILDCARD_SCOPES: readonly [RegExp, 'domain' | 'subdomains' | 'ending'][] = [
  [new RegExp(`^\\*+@(${NAME})$`), 'domain'],
  [new RegExp(`^\\*+@\\*+\\.(${NAME})$`), 'subdomains'],
  [new RegExp(`^\\*+\\.(${NAME})$`), 'subdomains'],
  [new RegExp(`^\\*+(?:@\\*+)?(${NAME})$`), 'ending'],
];

function wildcardScope({ pattern }: SigningRule): RuleScope {
  if (/^\*+(?:@\*+)?$/.test(pattern)) return { kind: 'everybody' };
  if (!isWildcardPattern(pattern)) {
    return {
      kind: 'unknown',
      reason: 'holds signs of a regular expression, which are not followed',
    };
  }
  for (const [form, kind] of WILDCARD_SCOPES) {
    const domain = form.exec(pattern)?.[1];
    if (domain !== undefined) return { kind, domain };
  }
  const [, user, host = ''] = /^([^@*]+)@(.*)$/.exec(pattern) ?? [];
  if (user !== undefined) {
    return { kind: 'address', user, domain: host.includes('*') ? undefined : host };
  }
  return {
    kind: 'unknown',
    reason: 'stands for addresses that are not all of a domain or all under one',
    hint: 'Waxseal chooses keys by the whole author domain; make entries for the domains that are meant',
  };
}
