import { isIP } from 'node:net';
import type { DnsReply, Question } from '../../base/dns-message.ts';
import { isAskable, isHostName } from '../../base/dns-name.ts';
import type { DnsServer } from '../../base/dns-transport.ts';
import type { AuthorityQueries } from './authority-queries.ts';
import { type DnsHint, hintFor, isWithin, namesBelow, portFor } from './dns-hints.ts';
import {
  type Cut,
  collectAddresses,
  isOfChild,
  MAX_ADDRESSES,
  nsHosts,
  readCut,
  speaksForZone,
  unique,
  zoneText,
} from './zone-cut.ts';

/**
 * From the root (or a nearer hint) down to the zone that holds a name, as a resolver goes (RFC 1034
 * section 5.3.3), with two differences. Nothing is taken from a cache. And from the second label on
 * all servers of a zone are asked for the next cut, since each of them may send resolvers elsewhere;
 * of root and top-level domain the first that answers will do.
 *
 * The name servers of a zone are those that the parent names and those that the zone names itself:
 * resolvers use either. Their addresses are the glue (RFC 9471) and what the authorities say.
 */

/** One address of one authoritative server. */
export interface AuthorityServer {
  /** Name of the server in the NS record. */
  readonly host: string;
  readonly server: DnsServer;
}

/** A zone and who answers for it. */
export interface ZoneServers {
  /** Normalised; the empty string is the root. */
  readonly zone: string;
  readonly servers: readonly AuthorityServer[];
  /** Name servers without an address that could be found, each with the reason. */
  readonly lost: readonly { readonly host: string; readonly reason: string }[];
}

/** A server of a zone on the way that does not send resolvers on as others do. */
export interface DelegationTrouble {
  readonly zone: string;
  readonly at: AuthorityServer;
  readonly kind: 'unreachable' | 'lame' | 'no-delegation';
  readonly detail: string;
}

export interface Walked {
  /** The zone that holds the name. */
  readonly holder: ZoneServers;
  readonly troubles: readonly DelegationTrouble[];
  readonly warnings: readonly string[];
}

export interface ZoneWalkOptions {
  readonly queries: AuthorityQueries;
  readonly hints: readonly DnsHint[];
  /** Of authoritative servers that no hint names with a port of its own. */
  readonly port: number;
  /** True for an address that is not to be asked. */
  readonly skips: (address: string) => boolean;
}

/** Name servers of one zone that are looked at. */
const MAX_HOSTS = 20;
/** Zones whose name servers lie in zones whose name servers lie in … */
const MAX_DEPTH = 5;
/** Servers of a top-level domain that are tried. */
const MAX_TRIES = 6;

type FirstCut = Extract<Cut, { kind: 'cut' }> & {
  /** The server that told of the cut, if it serves the child zone as well. */
  readonly itself: readonly AuthorityServer[];
};

interface Findings {
  readonly troubles: DelegationTrouble[];
  readonly warnings: string[];
}

/** Walks of one check. */
export class ZoneWalk {
  readonly #options: ZoneWalkOptions;

  constructor(options: ZoneWalkOptions) {
    this.#options = options;
  }

  /** Finds the zone that holds a name and all its servers. Never rejects. */
  async walk(name: string): Promise<Walked> {
    const findings: Findings = { troubles: [], warnings: [] };
    const hint = hintFor(name, this.#options.hints);
    let holder = await this.#begin(hint, findings);
    for (const child of namesBelow(hint.zone, name)) {
      const next = await this.#descend(holder, child, findings);
      if (next === 'lost') return { holder: { ...holder, servers: [], lost: [] }, ...findings };
      holder = next ?? holder;
    }
    return { holder, ...findings };
  }

  /** Asks servers one after the other until one answers with authority. */
  async askFirst(
    servers: readonly AuthorityServer[],
    question: Question,
  ): Promise<DnsReply | undefined> {
    const askable = servers.filter(({ server }) => !this.#options.skips(server.address));
    for (const { server } of askable.slice(0, MAX_TRIES)) {
      const asked = await this.#options.queries.ask(server, question);
      if (asked.kind === 'reply' && speaksForZone(asked.reply)) return asked.reply;
    }
    return undefined;
  }

  /** The servers of a hint are asked for the zone's own NS records (priming, RFC 9609). */
  async #begin(hint: DnsHint, findings: Findings): Promise<ZoneServers> {
    const given = hint.servers.map((server) => ({ host: server.address, server }));
    const direct: ZoneServers = { zone: hint.zone, servers: given, lost: [] };
    if (!isThorough(hint.zone)) return direct;
    const reply = await this.askFirst(given, { name: hint.zone, type: 'NS' });
    const hosts = reply === undefined ? [] : nsHosts(reply.answers, hint.zone);
    if (reply === undefined || hosts.length === 0) return direct;
    return await this.#zone(hint.zone, hosts, [reply], given, findings);
  }

  /** The child zone when there is a cut at `child`; `lost` when nobody can say. */
  async #descend(
    parent: ZoneServers,
    child: string,
    findings: Findings,
  ): Promise<ZoneServers | undefined | 'lost'> {
    const question: Question = { name: child, type: 'NS' };
    if (!isThorough(parent.zone)) {
      const first = await this.#firstCut(parent, child, findings.troubles);
      if (first === undefined || first === 'lost') return first;
      return await this.#zone(child, first.hosts, [first.reply], first.itself, findings);
    }
    const said = await Promise.all(
      this.#askable(parent).map(async (at) => {
        const asked = await this.#options.queries.ask(at.server, question);
        return { at, cut: readCut(asked, parent.zone, child) };
      }),
    );
    const cuts = said.map(({ cut }) => cut).filter((cut) => cut.kind === 'cut');
    if (cuts.length === 0) return undefined; // who is silent or lame shows at the last question
    for (const { at, cut } of said) {
      if (cut.kind === 'cut') continue;
      const detail =
        cut.kind === 'none'
          ? `it does not delegate ${child}, and other servers of ${zoneText(parent.zone)} do`
          : cut.detail;
      const kind = cut.kind === 'none' ? 'no-delegation' : cut.kind;
      findings.troubles.push({ zone: parent.zone, at, kind, detail });
    }
    const hosts = unique(cuts.flatMap((cut) => cut.hosts));
    const replies = cuts.map((cut) => cut.reply);
    const itself = said.flatMap(({ at, cut }) => (isOfChild(cut) ? [at] : []));
    return await this.#zone(child, hosts, replies, itself, findings);
  }

  async #firstCut(
    parent: ZoneServers,
    child: string,
    troubles: DelegationTrouble[],
  ): Promise<FirstCut | undefined | 'lost'> {
    const useless: DelegationTrouble[] = [];
    for (const at of this.#askable(parent).slice(0, MAX_TRIES)) {
      const asked = await this.#options.queries.ask(at.server, { name: child, type: 'NS' });
      const cut = readCut(asked, parent.zone, child);
      if (cut.kind === 'cut') return { ...cut, itself: isOfChild(cut) ? [at] : [] };
      if (cut.kind === 'none') return undefined;
      useless.push({ zone: parent.zone, at, kind: cut.kind, detail: cut.detail });
    }
    troubles.push(...useless);
    return 'lost';
  }

  /** All servers of a zone whose NS records the parent (or a hint) gave. */
  async #zone(
    zone: string,
    parentHosts: readonly string[],
    glueFrom: readonly DnsReply[],
    known: readonly AuthorityServer[],
    findings: Findings,
  ): Promise<ZoneServers> {
    const glue = new Map<string, Set<string>>();
    for (const reply of glueFrom) collectAddresses(reply, glue);
    const first = await this.#servers(zone, parentHosts, glue, known, [zone]);
    if (!isThorough(zone)) return first;
    const own = await Promise.all(
      this.#askable(first).map(async ({ server }) => {
        const asked = await this.#options.queries.ask(server, { name: zone, type: 'NS' });
        if (asked.kind !== 'reply' || !asked.reply.authoritative) return [];
        collectAddresses(asked.reply, glue);
        return nsHosts(asked.reply.answers, zone);
      }),
    );
    const ownHosts = unique(own.flat());
    const added = ownHosts.filter((host) => !parentHosts.includes(host));
    if (ownHosts.length > 0) warnOfOneSided(zone, parentHosts, ownHosts, findings.warnings);
    if (added.length === 0) return first;
    return await this.#servers(zone, [...parentHosts, ...added], glue, first.servers, [zone]);
  }

  async #servers(
    zone: string,
    inAnyOrder: readonly string[],
    glue: ReadonlyMap<string, ReadonlySet<string>>,
    known: readonly AuthorityServer[],
    chain: readonly string[],
  ): Promise<ZoneServers> {
    const hosts = inAnyOrder.toSorted(); // servers shuffle them; reports shall not
    const lost = hosts.slice(MAX_HOSTS).map((host) => ({
      host,
      reason: `not asked: ${zone} has more than ${MAX_HOSTS} name servers`,
    }));
    const glued = hosts
      .flatMap((host) => [...(glue.get(host) ?? [])])
      .map((address) => this.#serverAt(address, zone));
    const near = [...known.map(({ server }) => server), ...glued];
    const found = await Promise.all(
      hosts.slice(0, MAX_HOSTS).map(async (host) => {
        const addresses = new Set(glue.get(host) ?? []);
        // Of root and top-level domains glue will do; it spares many questions.
        if (addresses.size === 0 || isThorough(zone)) {
          const inside = isWithin(host, zone) ? near : undefined;
          for (const address of await this.#addresses(host, inside, chain)) addresses.add(address);
        }
        return { host, addresses: [...addresses].slice(0, MAX_ADDRESSES) };
      }),
    );
    const servers: AuthorityServer[] = [];
    for (const { host, addresses } of found) {
      if (addresses.length === 0) lost.push({ host, reason: noAddress(host, zone) });
      for (const address of addresses)
        servers.push({ host, server: this.#serverAt(address, zone) });
    }
    return { zone, servers, lost };
  }

  /** Addresses of a name server, as the authorities say. */
  async #addresses(
    host: string,
    near: readonly DnsServer[] | undefined,
    chain: readonly string[],
  ): Promise<string[]> {
    if (isIP(host) !== 0) return [host];
    if (!isHostName(host) || !isAskable(host) || chain.length > MAX_DEPTH) return [];
    const servers =
      near?.map((server) => ({ host, server })) ?? (await this.#quickly(host, chain))?.servers;
    if (servers === undefined) return [];
    const replies = await Promise.all(
      (['A', 'AAAA'] as const).map((type) => this.askFirst(servers, { name: host, type })),
    );
    return replies.flatMap((reply) =>
      (reply?.answers ?? []).flatMap((record) =>
        record.name === host && (record.type === 'A' || record.type === 'AAAA')
          ? [record.data]
          : [],
      ),
    );
  }

  /** The zone of a name server's own name: by the first servers that answer, without cross-checks. */
  async #quickly(host: string, chain: readonly string[]): Promise<ZoneServers | undefined> {
    const hint = hintFor(host, this.#options.hints);
    let zone: ZoneServers = {
      zone: hint.zone,
      servers: hint.servers.map((server) => ({ host: server.address, server })),
      lost: [],
    };
    for (const child of namesBelow(hint.zone, host)) {
      const cut = await this.#firstCut(zone, child, []);
      if (cut === 'lost') return undefined;
      if (cut === undefined) continue;
      if (cut.itself.length > 0) {
        zone = { zone: child, servers: cut.itself, lost: [] };
        continue;
      }
      if (chain.includes(child)) return undefined; // it would need itself
      const glue = new Map<string, Set<string>>();
      collectAddresses(cut.reply, glue);
      const hosts = cut.hosts.filter((name) => glue.has(name));
      const named = hosts.length > 0 ? hosts : cut.hosts;
      zone = await this.#servers(child, named, glue, [], [...chain, child]);
    }
    return zone;
  }

  #askable(zone: ZoneServers): readonly AuthorityServer[] {
    return zone.servers.filter(({ server }) => !this.#options.skips(server.address));
  }

  #serverAt(address: string, zone: string): DnsServer {
    const { hints, port } = this.#options;
    return { address, port: portFor(address, zone, hints) ?? port };
  }
}

/** Root and top-level domains have too many servers, and too well kept ones, to ask them all. */
function isThorough(zone: string): boolean {
  return zone.includes('.');
}

function warnOfOneSided(
  zone: string,
  parentHosts: readonly string[],
  ownHosts: readonly string[],
  warnings: string[],
): void {
  for (const host of ownHosts.filter((name) => !parentHosts.includes(name))) {
    warnings.push(`${zone}: the zone names the server ${host}, its parent does not`);
  }
  for (const host of parentHosts.filter((name) => !ownHosts.includes(name))) {
    warnings.push(`${zone}: the parent names the server ${host}, the zone itself does not`);
  }
}

function noAddress(host: string, zone: string): string {
  return isWithin(host, zone)
    ? 'no address was found; the parent zone must give it as glue (RFC 9471)'
    : 'no address was found';
}
