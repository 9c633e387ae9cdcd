import type { Destination, RelayCredentials, TlsLevel } from './destination.ts';

/** Hosts that the operator named for some recipient domains, or for all (a smarthost). */
export interface FixedHosts {
  /** Names or address literals, tried in this order. */
  readonly hosts: readonly string[];
  readonly port: number;
  readonly tls: TlsLevel;
  readonly credentials: RelayCredentials | undefined;
}

export interface RouteEntry extends FixedHosts {
  /** Exact domains, or `.example.com` for all its subdomains (not for itself). A-labels. */
  readonly domains: readonly string[];
}

export interface RouteTableOptions {
  readonly routes: readonly RouteEntry[];
  readonly smarthost: FixedHosts | undefined;
  /** For destinations found by MX: port and TLS level. */
  readonly mx: { readonly port: number; readonly tls: TlsLevel };
}

interface NamedHosts extends FixedHosts {
  readonly key: string;
}

/** Decides by configuration alone where a domain's mail goes; no look-up. */
export class RouteTable {
  readonly #options: RouteTableOptions;
  /** By exact domain, or by suffix with its leading dot. The first entry for a domain holds. */
  readonly #byDomain = new Map<string, NamedHosts>();

  constructor(options: RouteTableOptions) {
    this.#options = options;
    for (const route of options.routes) {
      const key = `route:${route.domains[0]?.toLowerCase() ?? ''}`;
      for (const domain of route.domains) {
        const name = domain.toLowerCase();
        if (!this.#byDomain.has(name)) this.#byDomain.set(name, { ...route, key });
      }
    }
  }

  /** Exact domain, else the longest `.suffix`, else the smarthost, else the domain's own MXs. */
  destinationFor(recipientDomain: string): Destination {
    const domain = recipientDomain.toLowerCase();
    const { smarthost, mx } = this.#options;
    const fixed = this.#find(domain) ?? (smarthost && { ...smarthost, key: 'smarthost' });
    if (fixed !== undefined) {
      const { key, hosts, port, tls, credentials } = fixed;
      return { key, domain, hosts, port, tls, credentials };
    }
    const { port, tls } = mx;
    return { key: `mx:${domain}`, domain, hosts: undefined, port, tls, credentials: undefined };
  }

  #find(domain: string): NamedHosts | undefined {
    if (this.#byDomain.size === 0) return undefined;
    const exact = this.#byDomain.get(domain);
    if (exact !== undefined) return exact;
    for (let dot = domain.indexOf('.'); dot >= 0; dot = domain.indexOf('.', dot + 1)) {
      const suffix = this.#byDomain.get(domain.slice(dot));
      if (suffix !== undefined) return suffix;
    }
    return undefined;
  }
}
