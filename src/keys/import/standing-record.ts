import { type AuthorityOptions, withinBounds } from '../dns/authority-bounds.ts';
import { type Asked, isOutOfReach } from '../dns/authority-queries.ts';
import { speaksForZone } from '../dns/zone-cut.ts';

/** The TXT record at a name as the zone's own servers give it: what a publisher would replace. */
export type StandingRecord =
  | {
      readonly kind: 'one';
      /** The strings as they are split. */
      readonly strings: readonly string[];
      /** As the zone has it, not what is left of it in a cache. */
      readonly ttlS: number;
    }
  /** `reason` completes "NAME: …". */
  | { readonly kind: 'none' | 'several' | 'alias' | 'unknown'; readonly reason: string };

/** Asks for the record that stands at a name. Failures are values. */
export type StandingRecords = (name: string) => Promise<StandingRecord>;

/**
 * Asks all addresses of the authoritative servers of the zone that holds the name; all that can be
 * reached from here must agree.
 */
export function authoritativeRecords(options: AuthorityOptions): StandingRecords {
  return async (name) =>
    await withinBounds(options, async ({ queries, walk, hasIpv6 }) => {
      const { holder } = await walk.walk(name);
      const servers = holder.servers.filter(({ server }) => !isOutOfReach(server.address, hasIpv6));
      if (servers.length === 0) return unknown('the name servers of its zone were not found');
      const answers = await Promise.all(
        servers.map(async ({ server }) => {
          const asked = await queries.ask(server, { name, type: 'TXT' });
          return readStanding(name, server.address, asked);
        }),
      );
      const [first, ...others] = answers;
      if (first === undefined) return unknown('no name server was asked');
      const different = others.find((answer) => JSON.stringify(answer) !== JSON.stringify(first));
      if (different === undefined) return first;
      const failed = answers.find((answer) => answer.kind === 'unknown');
      return failed ?? unknown('the name servers of its zone do not agree');
    });
}

function readStanding(name: string, address: string, asked: Asked): StandingRecord {
  if (asked.kind === 'unreachable') return unknown(`${address}: ${asked.detail}`);
  const { answers, rcode } = asked.reply;
  const alias = answers.find((record) => record.type === 'CNAME' && record.name === name);
  if (alias?.type === 'CNAME') {
    return { kind: 'alias', reason: `an alias (CNAME) to ${alias.data} stands there` };
  }
  if (!speaksForZone(asked.reply)) {
    return unknown(`${address}: it does not answer for the zone (${rcode})`);
  }
  const records = answers.flatMap((record) =>
    record.type === 'TXT' && record.name === name ? [record] : [],
  );
  const [record, ...others] = records;
  if (record === undefined) return { kind: 'none', reason: 'there is no TXT record' };
  if (others.length > 0) {
    return { kind: 'several', reason: `${records.length} TXT records stand there` };
  }
  const strings = record.data.map((text) => text.toString('latin1'));
  return { kind: 'one', strings, ttlS: record.ttlS };
}

function unknown(reason: string): StandingRecord {
  return { kind: 'unknown', reason };
}
