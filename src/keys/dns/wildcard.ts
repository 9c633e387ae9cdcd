import { randomBytes } from 'node:crypto';
import { isWithin } from './dns-hints.ts';
import type { ZoneServers, ZoneWalk } from './zone-servers.ts';

/** What a wildcard record (RFC 4592) answers for names that do not exist. */
export interface WildcardAnswer {
  /** Seconds for which caches keep its answer under the name of our record. */
  readonly ttlS: number;
  /** Its TXT records, strings joined; empty when it is a CNAME. */
  readonly texts: readonly string[];
  /** Where it sends readers when it is a CNAME. */
  readonly alias: string | undefined;
}

/**
 * Looks for a wildcard over a name by asking for names beside it that nobody has: one in its place,
 * and one right below the domain, where a wildcard answered as long as there was no `_domainkey`.
 * Never rejects.
 */
export async function findWildcard(
  walk: ZoneWalk,
  holder: ZoneServers,
  name: string,
  domain: string,
): Promise<WildcardAnswer | undefined> {
  const names = [`${unusedLabel()}.${name.slice(name.indexOf('.') + 1)}`];
  if (isWithin(name, domain) && isWithin(domain, holder.zone)) {
    names.push(`${unusedLabel()}.${unusedLabel()}.${domain}`);
  }
  const replies = await Promise.all(
    names.map((probe) => walk.askFirst(holder.servers, { name: probe, type: 'TXT' })),
  );
  const answers = replies.map((reply, index) =>
    (reply?.answers ?? []).filter((record) => record.name === names[index]),
  );
  // What the nearest one answers is what stands in the place of our record.
  const nearest = answers.find((records) => records.length > 0);
  if (nearest === undefined) return undefined;
  const alias = nearest.find((record) => record.type === 'CNAME');
  return {
    alias: alias?.type === 'CNAME' ? alias.data : undefined,
    ttlS: Math.max(...answers.flat().map((record) => record.ttlS)),
    texts: nearest.flatMap((record) =>
      record.type === 'TXT' ? [Buffer.concat(record.data).toString('latin1')] : [],
    ),
  };
}

function unusedLabel(): string {
  return `wx-probe-${randomBytes(6).toString('hex')}`;
}
