import { isAskable } from '../../base/dns-name.ts';
import { printable } from '../../base/printable.ts';
import type { ExpectedRecord } from './judge-record.ts';
import {
  type AskAuthoritiesOptions,
  askAuthorities,
  nobody,
  type Statement,
} from './seen-authorities.ts';
import type { SeenReport, ServerAnswer } from './seen-report.ts';
import { findWildcard } from './wildcard.ts';
import type { DelegationTrouble, ZoneWalk } from './zone-servers.ts';

/** What the authoritative servers say, from the record's name along its CNAMEs to the end. */
export interface SeenChain {
  readonly verdict: SeenReport['verdict'];
  readonly statements: readonly Statement[];
  /** Servers of zones above that send readers elsewhere, or nowhere. */
  readonly troubles: readonly ServerAnswer[];
  /** True when the record stands under another name. */
  readonly isAliased: boolean;
  /** TTL of what a wildcard answers in place of a missing record, in seconds; 0: there is none. */
  readonly wildcardTtlS: number;
  readonly warnings: readonly string[];
}

export interface FollowChainOptions {
  readonly domain: string;
  readonly expected: ExpectedRecord;
  readonly walk: ZoneWalk;
  readonly ask: Omit<AskAuthoritiesOptions, 'wildcard'>;
}

/** CNAMEs that are followed. */
const MAX_ALIASES = 8;

/** Follows the CNAMEs of a name, asking all servers at each step. Never rejects. */
export async function followChain(first: string, options: FollowChainOptions): Promise<SeenChain> {
  const { walk, ask, domain } = options;
  const names = [first];
  const statements: Statement[] = [];
  const troubles: ServerAnswer[] = [];
  const warnings: string[] = [];
  let wildcardTtlS = 0;
  let isBroken = false;
  for (let name: string | undefined = first; name !== undefined; ) {
    const walked = await walk.walk(name);
    const wildcard = await findWildcard(walk, walked.holder, name, domain);
    const above = troubleAnswers(walked.troubles, ask.ignored);
    const asked = await askAuthorities(walked.holder, name, { ...ask, wildcard });
    const isSilent = [...asked.map(({ answer }) => answer), ...above].every(isIgnored);
    const said = isSilent ? [...asked, nobody(walked.holder, name)] : asked;
    const agreed = compareServers(said);
    const targets = [...new Set(agreed.flatMap(({ alias }) => (alias === undefined ? [] : alias)))];
    const trouble = aliasTrouble(name, targets, names);
    statements.push(
      ...(trouble === undefined ? agreed : agreed.map((one) => astray(one, trouble))),
    );
    troubles.push(...above);
    warnings.push(...walked.warnings, ...agreed.flatMap((statement) => statement.warnings));
    if (wildcard !== undefined) {
      wildcardTtlS = Math.max(wildcardTtlS, wildcard.ttlS);
      warnings.push(
        `a wildcard answers for names beside ${name}: caches may hold its answer for ${wildcard.ttlS} s`,
      );
    }
    if (trouble !== undefined) warnings.push(trouble);
    isBroken ||= trouble !== undefined;
    name = trouble === undefined ? targets[0] : undefined;
    if (name !== undefined) names.push(name);
  }
  return {
    verdict: isBroken ? 'conflict' : verdictOf(statements, troubles),
    statements,
    troubles,
    isAliased: names.length > 1,
    wildcardTtlS,
    warnings: [...new Set(warnings)],
  };
}

function aliasTrouble(
  name: string,
  targets: readonly string[],
  names: readonly string[],
): string | undefined {
  const [target] = targets;
  if (target === undefined) return undefined;
  if (targets.length > 1) {
    return `the servers send readers of ${name} to different names: ${printable(targets.join(', '), 500)}`;
  }
  if (names.includes(target)) return `the CNAME records of ${names[0]} form a loop`;
  if (names.length > MAX_ALIASES) return `${names[0]} leads over more than ${MAX_ALIASES} CNAMEs`;
  if (!isAskable(target)) return `the CNAME of ${name} is no name that can be asked for`;
  return undefined;
}

/** A CNAME that leads nowhere is no sight of the record. */
function astray(one: Statement, trouble: string): Statement {
  if (one.alias === undefined) return one;
  const detail = `${one.answer.detail}: ${trouble}`;
  return { ...one, answer: { ...one.answer, verdict: 'mismatch', detail }, mayPass: false };
}

/**
 * Sets the servers of one zone side by side. One that lacks what others have may only be late: then
 * its serial number is lower (RFC 1982). With the same number it shows another view of the zone.
 */
function compareServers(said: readonly Statement[]): readonly Statement[] {
  const hasAlias = said.some(({ alias }) => alias !== undefined);
  const right = said.filter((one) => isRight(one, hasAlias));
  if (right.length === 0) return said;
  const newest = right.flatMap(({ soa }) => (soa === undefined ? [] : soa.serial))[0];
  return said.map((one): Statement => {
    if (isRight(one, hasAlias) || !isAnswer(one.answer)) return one;
    const { soa, answer } = one;
    const verdict = answer.found.length === 0 ? 'absent' : 'mismatch';
    const lack = hasAlias ? 'it has no CNAME there, and other servers do' : answer.detail;
    if (soa !== undefined && newest !== undefined && isOlder(soa.serial, newest)) {
      const detail = `${lack}; its zone is older (serial ${soa.serial}, elsewhere ${newest})`;
      return { ...one, answer: { ...answer, verdict, detail }, mayPass: true };
    }
    const detail =
      soa !== undefined && soa.serial === newest
        ? `${lack}; its serial is that of the others (${newest}): this may be a split view`
        : lack;
    return { ...one, answer: { ...answer, verdict, detail }, mayPass: verdict === 'absent' };
  });
}

function isRight({ answer, alias }: Statement, hasAlias: boolean): boolean {
  return hasAlias ? alias !== undefined : answer.verdict === 'seen';
}

function isIgnored({ verdict }: ServerAnswer): boolean {
  return verdict === 'ignored';
}

function isAnswer({ verdict }: ServerAnswer): boolean {
  return verdict === 'seen' || verdict === 'absent' || verdict === 'mismatch';
}

/** Serial number arithmetic (RFC 1982 section 3.2). */
function isOlder(serial: number, other: number): boolean {
  const ahead = (other - serial) >>> 0;
  return ahead !== 0 && ahead < 0x80000000;
}

function verdictOf(
  statements: readonly Statement[],
  troubles: readonly ServerAnswer[],
): SeenReport['verdict'] {
  const counting = statements.filter(({ answer }) => answer.verdict !== 'ignored');
  if (counting.some(({ mayPass, answer }) => !mayPass && answer.verdict !== 'seen')) {
    return 'conflict';
  }
  const isSeen =
    counting.length > 0 &&
    counting.every(({ answer }) => answer.verdict === 'seen') &&
    counting.at(-1)?.alias === undefined &&
    troubles.every(({ verdict }) => verdict === 'ignored');
  return isSeen ? 'seen' : 'not-yet';
}

function troubleAnswers(
  troubles: readonly DelegationTrouble[],
  ignored: ReadonlyMap<string, string>,
): readonly ServerAnswer[] {
  return troubles.map(({ zone, at, kind, detail }): ServerAnswer => {
    const order = ignored.get(at.host);
    return {
      zone,
      host: at.host,
      address: at.server.address,
      verdict: order !== undefined ? 'ignored' : kind === 'no-delegation' ? 'mismatch' : kind,
      detail: order === undefined ? printable(detail, 500) : `by order: ${order}`,
      found: [],
    };
  });
}
