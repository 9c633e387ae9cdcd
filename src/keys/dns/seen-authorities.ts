import type { DnsReply } from '../../base/dns-message.ts';
import { printable } from '../../base/printable.ts';
import type { AuthorityQueries } from './authority-queries.ts';
import { isOutOfReach } from './authority-queries.ts';
import { type ExpectedRecord, judgeRecords } from './judge-record.ts';
import type { ServerAnswer } from './seen-report.ts';
import type { WildcardAnswer } from './wildcard.ts';
import { speaksForZone, zoneText } from './zone-cut.ts';
import type { AuthorityServer, ZoneServers } from './zone-servers.ts';

/** What one authoritative server says about a name. */
export interface Statement {
  readonly at: AuthorityServer;
  readonly answer: ServerAnswer;
  /** Waiting may cure what is wrong. */
  readonly mayPass: boolean;
  /** It sends readers on to this name. */
  readonly alias: string | undefined;
  /** TTL in seconds of what it answered; undefined for a negative answer, or none. */
  readonly ttlS: number | undefined;
  /** Serial number and negative TTL (RFC 2308 section 5) of its zone. */
  readonly soa: { readonly serial: number; readonly negativeTtlS: number } | undefined;
  readonly warnings: readonly string[];
}

export interface AskAuthoritiesOptions {
  readonly queries: AuthorityQueries;
  readonly expected: ExpectedRecord;
  /** Addresses (or names) of servers that do not count, each with the reason. */
  readonly ignored: ReadonlyMap<string, string>;
  readonly hasIpv6: boolean;
  /** What a wildcard answers in place of a missing record. */
  readonly wildcard: WildcardAnswer | undefined;
}

/** A reply over 512 octets needs EDNS or TCP (RFC 1035 section 4.2.1). */
const PLAIN_UDP_OCTETS = 512;
const MAX_SHOWN_RECORDS = 5;
const MAX_SHOWN_CHARACTERS = 1500;

/** Asks every address of every server of a zone for the TXT records of a name. Never rejects. */
export async function askAuthorities(
  zone: ZoneServers,
  name: string,
  options: AskAuthoritiesOptions,
): Promise<readonly Statement[]> {
  const asked = await Promise.all(zone.servers.map((at) => askOne(zone, at, name, options)));
  const lost = zone.lost.map(({ host, reason }): Statement => {
    const at = { host, server: { address: '', port: 0 } };
    const order = options.ignored.get(host);
    return order === undefined
      ? statement(zone, at, { verdict: 'unreachable', detail: reason })
      : statement(zone, at, { verdict: 'ignored', detail: `by order: ${order}` });
  });
  return [...asked, ...lost];
}

async function askOne(
  zone: ZoneServers,
  at: AuthorityServer,
  name: string,
  options: AskAuthoritiesOptions,
): Promise<Statement> {
  const { queries, ignored, hasIpv6 } = options;
  const reason = ignored.get(at.server.address) ?? ignored.get(at.host);
  if (reason !== undefined) {
    return statement(zone, at, { verdict: 'ignored', detail: `by order: ${reason}` });
  }
  if (isOutOfReach(at.server.address, hasIpv6)) {
    const detail = 'this machine has no IPv6';
    // Its other address stands for it; a server without one was not asked at all.
    const isAskedElsewhere = zone.servers.some(
      (other) => other.host === at.host && !isOutOfReach(other.server.address, hasIpv6),
    );
    return statement(zone, at, { verdict: isAskedElsewhere ? 'ignored' : 'unreachable', detail });
  }
  const [asked, soaAsked] = await Promise.all([
    queries.ask(at.server, { name, type: 'TXT' }),
    queries.ask(at.server, { name: zone.zone, type: 'SOA' }),
  ]);
  if (asked.kind === 'unreachable') {
    return statement(zone, at, { verdict: 'unreachable', detail: asked.detail });
  }
  let { reply } = asked;
  if (!speaksForZone(reply)) {
    // Some servers give up (SERVFAIL) at a CNAME whose target they cannot follow.
    const aliasAsked = await queries.ask(at.server, { name, type: 'CNAME' });
    const isAlias =
      aliasAsked.kind === 'reply' &&
      speaksForZone(aliasAsked.reply) &&
      aliasAsked.reply.answers.length > 0;
    if (!isAlias) {
      return statement(zone, at, { verdict: 'lame', detail: lameDetail(reply, zone.zone) });
    }
    reply = aliasAsked.reply;
  }
  const soa = soaAsked.kind === 'reply' ? soaOf(soaAsked.reply, zone.zone) : undefined;
  const stated = { ...readStatement(zone, at, name, reply, options), soa };
  const warnings = [...stated.warnings, ...(await sizeWarnings(at, name, reply, queries))];
  return { ...stated, warnings };
}

function readStatement(
  zone: ZoneServers,
  at: AuthorityServer,
  name: string,
  reply: DnsReply,
  { expected, wildcard }: AskAuthoritiesOptions,
): Statement {
  const alias = reply.answers.find((record) => record.type === 'CNAME' && record.name === name);
  if (alias?.type === 'CNAME' && alias.data !== wildcard?.alias) {
    const detail = `CNAME to ${printable(alias.data, 300)}`;
    const made = statement(zone, at, { verdict: 'seen', detail });
    return { ...made, alias: alias.data, ttlS: alias.ttlS };
  }
  const records = reply.answers.flatMap((record) =>
    record.type === 'TXT' && record.name === name ? [record] : [],
  );
  const texts = records.map((record) => Buffer.concat(record.data).toString('latin1'));
  const isWildcard =
    wildcard !== undefined && (alias !== undefined || sameTexts(texts, wildcard.texts));
  const judged = judgeRecords(expected, isWildcard ? [] : texts);
  const found = texts
    .slice(0, MAX_SHOWN_RECORDS)
    .map((text) => printable(text, MAX_SHOWN_CHARACTERS));
  const detail = isWildcard ? `${judged.detail}; only a wildcard answers` : judged.detail;
  return {
    ...statement(zone, at, { verdict: judged.verdict, detail, found }),
    mayPass: judged.mayPass,
    ttlS: records[0]?.ttlS,
    warnings: judged.warnings,
  };
}

/** Large answers (RSA-4096) reach everybody only by EDNS or TCP; each server must do both. */
async function sizeWarnings(
  at: AuthorityServer,
  name: string,
  reply: DnsReply,
  queries: AuthorityQueries,
): Promise<string[]> {
  const text = reply.answers.flatMap((record) => (record.type === 'TXT' ? record.data : []));
  if (reply.bytes <= PLAIN_UDP_OCTETS && Buffer.concat(text).length <= PLAIN_UDP_OCTETS) return [];
  const who = `${at.host} (${at.server.address})`;
  const warnings: string[] = [];
  if (!reply.edns) {
    warnings.push(`${who} does not know EDNS: its ${reply.bytes} octets need TCP`);
  }
  const overTcp = await queries.askOverTcp(at.server, { name, type: 'TXT' });
  if (overTcp.kind === 'unreachable') {
    const need = `its answer has ${reply.bytes} octets, too many for plain UDP`;
    warnings.push(`${who} does not answer over TCP, and ${need}: ${overTcp.detail}`);
  }
  return warnings;
}

function statement(
  zone: ZoneServers,
  at: AuthorityServer,
  said: { verdict: ServerAnswer['verdict']; detail: string; found?: readonly string[] },
): Statement {
  const { verdict, detail, found = [] } = said;
  const answer: ServerAnswer = {
    zone: zone.zone,
    host: at.host,
    address: at.server.address,
    verdict,
    detail: printable(detail, 500),
    found,
  };
  return {
    at,
    answer,
    mayPass: true,
    alias: undefined,
    ttlS: undefined,
    soa: undefined,
    warnings: [],
  };
}

/** Whoever counts servers must not find all of none in agreement. */
export function nobody(zone: ZoneServers, name: string): Statement {
  const at = { host: zoneText(zone.zone), server: { address: '', port: 0 } };
  const detail = `${name}: none of the servers on the way can be asked`;
  return statement(zone, at, { verdict: 'unreachable', detail });
}

function lameDetail(reply: DnsReply, zone: string): string {
  if (reply.rcode !== 'NOERROR' && reply.rcode !== 'NXDOMAIN') {
    return `it answers ${reply.rcode} and does not serve ${zoneText(zone)}`;
  }
  return `it answers without authority for ${zoneText(zone)}`;
}

function soaOf(reply: DnsReply, zone: string): Statement['soa'] {
  const soa = reply.answers.find((record) => record.type === 'SOA' && record.name === zone);
  if (soa?.type !== 'SOA') return undefined;
  return { serial: soa.data.serial, negativeTtlS: Math.min(soa.ttlS, soa.data.minimum) };
}

function sameTexts(some: readonly string[], others: readonly string[]): boolean {
  return JSON.stringify([...some].sort()) === JSON.stringify([...others].sort());
}
