import { isIP, isIPv4, isIPv6 } from 'node:net';
import { isHostName, normalizeName } from '../base/dns-name.ts';
import type { MxData, Resolver } from '../base/resolver.ts';
import type { LocalReply } from '../mail/reply.ts';
import { isPublicAddress, type OwnEndpoint, ownAddressCheck } from './address-policy.ts';
import type { Candidate, Destination } from './destination.ts';
import { type HostAddresses, lookUpAddresses } from './route-addresses.ts';
import {
  isNullMx,
  isUsableExchange,
  orderMxs,
  ownPreference,
  type RandomSource,
} from './route-mx.ts';
import { RouteTable, type RouteTableOptions } from './route-table.ts';
import * as trouble from './route-trouble.ts';

/** MX hosts whose addresses are looked up; a domain with more has the best ones tried. */
const MAX_MX_HOSTS = 20;

export interface RouterOptions extends RouteTableOptions {
  readonly resolver: Resolver;
  /** Send to private, loopback and other closed addresses that the DNS names. */
  readonly allowPrivate: boolean;
  /** Relay to `user@[192.0.2.1]`. */
  readonly allowAddressLiterals: boolean;
  /** Names by which MX records may mean this relay: `server.name`, `relay.ehloName`. */
  readonly ownNames: readonly string[];
  /** Where this relay listens; see `ownAddressCheck`. */
  readonly ownEndpoints: readonly OwnEndpoint[];
  /** For the order of equal MXs; default `Math.random`. */
  readonly random?: RandomSource;
}

/** Hosts to try, best first, each with at least one address; or the reply to the recipient. */
export type Candidates =
  | { readonly ok: true; readonly candidates: readonly Candidate[] }
  | { readonly ok: false; readonly reply: LocalReply };

/** An MX host with what was found of it. */
interface LookedUp {
  readonly mx: MxData;
  readonly found: HostAddresses;
}

/**
 * Finds where mail for a domain goes (RFC 5321 section 5). The addresses in a candidate are the
 * very ones that passed the check for private networks: whoever connects uses them and does not
 * look the name up again, so a DNS answer that changes in between (rebinding) gains nothing.
 */
export class Router {
  readonly #options: RouterOptions;
  readonly #table: RouteTable;
  readonly #random: RandomSource;
  readonly #ownNames: ReadonlySet<string>;
  readonly #isOwnAddress: (address: string) => boolean;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#table = new RouteTable(options);
    this.#random = options.random ?? Math.random;
    this.#ownNames = new Set(options.ownNames.map(normalizeName));
    this.#isOwnAddress = ownAddressCheck(options.ownEndpoints, options.mx.port);
  }

  /**
   * Decides by configuration alone: route table (exact domain, else the longest `.suffix`), else
   * the smarthost, else the domain's MXs.
   *
   * @param domain recipient domain as A-labels, or an address literal in brackets
   */
  destinationFor(domain: string): Destination {
    return this.#table.destinationFor(domain);
  }

  /**
   * Looks up whom to connect to.
   *
   * @throws the signal's reason when aborted, and nothing else
   */
  async candidates(destination: Destination, signal?: AbortSignal): Promise<Candidates> {
    const { hosts, domain } = destination;
    if (hosts !== undefined) return this.#fixed(domain, hosts, signal);
    if (domain.startsWith('[')) return this.#literal(domain);
    return this.#mailExchangers(domain, signal);
  }

  /** Hosts named by the operator: in the order given, private addresses allowed, no MX look-up. */
  async #fixed(
    domain: string,
    hosts: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Candidates> {
    const found = await Promise.all(
      hosts.map(async (host) => ({ host, found: await this.#fixedHost(host, signal) })),
    );
    const candidates: Candidate[] = [];
    for (const { host, found: known } of found) {
      if (known.kind === 'addresses') candidates.push({ host, addresses: known.addresses });
    }
    if (candidates.length > 0) return { ok: true, candidates };
    const failed = found.find((host) => host.found.kind === 'failure');
    if (failed?.found.kind === 'failure') {
      return refuse(trouble.dnsFailed(domain, failed.host, failed.found.detail));
    }
    return refuse(trouble.fixedHostNotFound(domain, hosts));
  }

  async #fixedHost(host: string, signal: AbortSignal | undefined): Promise<HostAddresses> {
    const literal = readLiteral(host) ?? (isIP(host) !== 0 ? host : undefined);
    if (literal !== undefined) return { kind: 'addresses', addresses: [literal] };
    return lookUpAddresses(this.#options.resolver, host, signal);
  }

  /** `user@[192.0.2.1]` (RFC 5321 section 4.1.3): no DNS, but the same rules for the address. */
  #literal(domain: string): Candidates {
    const { allowAddressLiterals, allowPrivate } = this.#options;
    const address = readLiteral(domain);
    if (address === undefined) return refuse(trouble.literalInvalid(domain));
    if (!allowAddressLiterals) return refuse(trouble.literalRefused(domain));
    if (this.#isOwnAddress(address)) return refuse(trouble.pointsToUs(domain));
    if (!allowPrivate && !isPublicAddress(address)) {
      return refuse(trouble.notPublic(domain, [address]));
    }
    return { ok: true, candidates: [{ host: address, addresses: [address] }] };
  }

  async #mailExchangers(domain: string, signal: AbortSignal | undefined): Promise<Candidates> {
    if (domain === '') return refuse(trouble.noDomain());
    if (!isHostName(domain)) return refuse(trouble.noSuchDomain(domain, 'nxdomain'));
    const answer = await this.#options.resolver.resolve(domain, 'MX', signal);
    switch (answer.kind) {
      case 'failure':
        return refuse(trouble.dnsFailed(domain, 'its MX records', answer.detail));
      case 'nxdomain':
        return refuse(trouble.noSuchDomain(domain, 'nxdomain'));
      case 'nodata':
        return this.#implicitMx(domain, signal);
      case 'records':
        if (isNullMx(answer.records)) return refuse(trouble.nullMx(domain));
        return this.#explicitMxs(domain, answer.records, signal);
    }
  }

  /** No MX: the domain itself is its only MX, with preference 0 (RFC 5321 section 5.1). */
  async #implicitMx(domain: string, signal: AbortSignal | undefined): Promise<Candidates> {
    const mx = { preference: 0, exchange: domain };
    if (this.#ownNames.has(domain)) return refuse(trouble.pointsToUs(domain));
    const found = await lookUpAddresses(this.#options.resolver, domain, signal);
    if (found.kind === 'none') return refuse(trouble.noSuchDomain(domain, found.found));
    return this.#choose(domain, [{ mx, found }]);
  }

  async #explicitMxs(
    domain: string,
    records: readonly MxData[],
    signal: AbortSignal | undefined,
  ): Promise<Candidates> {
    const { resolver } = this.#options;
    const ownFrom = ownPreference(records, (mx) => this.#ownNames.has(mx.exchange));
    const others = records.filter((mx) => mx.preference < ownFrom);
    if (others.length === 0) return refuse(trouble.pointsToUs(domain));
    const usable = orderMxs(others.filter(isUsableExchange), this.#random).slice(0, MAX_MX_HOSTS);
    if (usable.length === 0) {
      return refuse(
        trouble.noAddress(
          domain,
          others.map((mx) => printableName(mx.exchange)),
        ),
      );
    }
    const lookedUp = await Promise.all(
      usable.map(async (mx) => ({
        mx,
        found: await lookUpAddresses(resolver, mx.exchange, signal),
      })),
    );
    return this.#choose(domain, lookedUp);
  }

  /** Takes out what is ours and what is private, and says why if nothing is left. */
  #choose(domain: string, lookedUp: readonly LookedUp[]): Candidates {
    const { allowPrivate } = this.#options;
    const own = lookedUp.filter(
      ({ found }) => found.kind === 'addresses' && found.addresses.some(this.#isOwnAddress),
    );
    const ownFrom = Math.min(...own.map(({ mx }) => mx.preference));
    const others = lookedUp.filter(({ mx }) => mx.preference < ownFrom);
    if (others.length === 0) return refuse(trouble.pointsToUs(domain));

    const candidates: Candidate[] = [];
    const closed: string[] = [];
    for (const { mx, found } of others) {
      if (found.kind !== 'addresses') continue;
      const addresses = allowPrivate ? found.addresses : found.addresses.filter(isPublicAddress);
      if (addresses.length > 0) candidates.push({ host: mx.exchange, addresses });
      else closed.push(mx.exchange);
    }
    if (candidates.length > 0) return { ok: true, candidates };
    // A host whose look-up failed may be the good one, so a failure goes before a final refusal.
    for (const { mx, found } of others) {
      if (found.kind === 'failure') {
        return refuse(trouble.dnsFailed(domain, `the addresses of ${mx.exchange}`, found.detail));
      }
    }
    if (closed.length > 0) return refuse(trouble.notPublic(domain, closed));
    return refuse(
      trouble.noAddress(
        domain,
        others.map(({ mx }) => mx.exchange),
      ),
    );
  }
}

function refuse(reply: LocalReply): Candidates {
  return { ok: false, reply };
}

/** The address in `[192.0.2.1]` or `[IPv6:2001:db8::1]`, or undefined. */
function readLiteral(text: string): string | undefined {
  const inner = /^\[(.*)\]$/.exec(text)?.[1];
  if (inner === undefined) return undefined;
  if (isIPv4(inner)) return inner;
  const address = /^ipv6:(.*)$/i.exec(inner)?.[1];
  return address !== undefined && isIPv6(address) && !address.includes('%') ? address : undefined;
}

/** For a reply text: an exchange that is no host name may hold anything. */
function printableName(name: string): string {
  return /^[!-~]{1,80}$/.test(name) ? name : 'an unprintable name';
}
