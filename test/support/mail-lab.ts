import { type FakeDns, startDns, type Zone } from './dns.ts';
import { freePort } from './free-port.ts';
import { type FakeMx, type MxOptions, type MxScript, startMx } from './mx.ts';
import { type Settings, Waxseal } from './waxseal.ts';

/** A domain of the lab: its MX script and the loopback address that it stands at. */
export interface LabDomain {
  readonly script?: MxScript;
  readonly options?: MxOptions;
}

/**
 * Waxseal between a DNS server and one fake MX for each recipient domain, all on one port of
 * loopback addresses of their own (127.0.1.1, 127.0.1.2 …), as MXs share port 25.
 */
export class MailLab {
  readonly dns: FakeDns;
  readonly waxseal: Waxseal;
  /** The port of all MXs. */
  readonly mxPort: number;
  readonly #mxs: ReadonlyMap<string, FakeMx>;

  private constructor(
    dns: FakeDns,
    waxseal: Waxseal,
    mxPort: number,
    mxs: ReadonlyMap<string, FakeMx>,
  ) {
    this.dns = dns;
    this.waxseal = waxseal;
    this.mxPort = mxPort;
    this.#mxs = mxs;
  }

  /**
   * @param domains recipient domains
   * @param signing domains that get keys; their TXT records are not published
   * @param settings configuration over that of the lab; sections are replaced, not merged
   * @param zone further DNS records
   */
  static async start(
    domains: Readonly<Record<string, LabDomain>>,
    signing: readonly string[],
    settings: Settings = {},
    zone: Zone = {},
  ): Promise<MailLab> {
    const { mxPort, mxs } = await startMxs(domains);
    const records: Record<string, Zone[string]> = { ...zone };
    for (const [index, domain] of Object.keys(domains).entries()) {
      records[domain] = { MX: [[10, `mx.${domain}`]] };
      records[`mx.${domain}`] = { A: [hostOf(index)] };
    }
    const dns = await startDns(records);
    const waxseal = await Waxseal.start(
      {
        dns: { servers: [dns.server] },
        relay: { port: mxPort, allowPrivate: true, ehloName: 'relay.example.net' },
        ...settings,
      },
      signing,
    );
    return new MailLab(dns, waxseal, mxPort, mxs);
  }

  /** The MX of a domain of the lab. */
  mx(domain: string): FakeMx {
    const mx = this.#mxs.get(domain);
    if (mx === undefined) throw new Error(`the lab has no domain ${domain}`);
    return mx;
  }

  async stop(): Promise<void> {
    await this.waxseal.stop();
    for (const mx of this.#mxs.values()) await mx.close();
    await this.dns.close();
  }
}

/** Ports that are free at one address may be in use at another. */
const PORT_ATTEMPTS = 5;

function hostOf(index: number): string {
  return `127.0.1.${index + 1}`;
}

async function startMxs(
  domains: Readonly<Record<string, LabDomain>>,
): Promise<{ readonly mxPort: number; readonly mxs: ReadonlyMap<string, FakeMx> }> {
  for (let attempt = 1; ; attempt += 1) {
    const mxPort = await freePort();
    const mxs = new Map<string, FakeMx>();
    try {
      for (const [index, [domain, { script, options }]] of Object.entries(domains).entries()) {
        mxs.set(domain, await startMx(script, { ...options, host: hostOf(index), port: mxPort }));
      }
      return { mxPort, mxs };
    } catch (error) {
      for (const mx of mxs.values()) await mx.close();
      if (attempt === PORT_ATTEMPTS) throw error;
    }
  }
}
