import { type Bind, type BindOptions, type BindZones, startBind } from './bind.ts';
import { type DnsForwarder, forwardDns } from './dns-forwarder.ts';
import { freePort } from './free-port.ts';

/** One authoritative server of the lab. */
export interface LabServer extends BindOptions {
  /** In 127/8. */
  readonly address: string;
  readonly zones: BindZones;
  /** Connections over TCP are closed at once. */
  readonly withoutTcp?: boolean;
}

/** Several BINDs on one port and different loopback addresses, as the name servers of the world are. */
export interface DnsLab {
  readonly port: number;
  /** By address of the lab; what the BIND itself says of its port is beside the point. */
  readonly servers: ReadonlyMap<string, Bind>;
  close(): Promise<void>;
}

/** The port has to be free on all addresses. */
const ATTEMPTS = 4;

/** @param named path of the program, see `requirePeer` */
export async function startDnsLab(named: string, servers: readonly LabServer[]): Promise<DnsLab> {
  const binds = await Promise.all(
    servers.map(({ zones, address, withoutTcp: _, ...options }) =>
      startBind(named, zones, { nameServer: address, ...options }),
    ),
  );
  const closeBinds = () => Promise.all(binds.map((bind) => bind.close()));
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const started = await Promise.allSettled(
      servers.map(({ address, withoutTcp = false }, index) =>
        forwardDns({ address, port }, binds[index]?.port ?? 0, { withoutTcp }),
      ),
    );
    const forwarders = started.flatMap((one): DnsForwarder[] =>
      one.status === 'fulfilled' ? [one.value] : [],
    );
    const close = async () => {
      await Promise.all(forwarders.map((forwarder) => forwarder.close()));
    };
    if (forwarders.length === servers.length) {
      return {
        port,
        servers: new Map(servers.map(({ address }, index) => [address, binds[index] as Bind])),
        close: async () => {
          await close();
          await closeBinds();
        },
      };
    }
    await close();
    if (attempt < ATTEMPTS) continue;
    await closeBinds();
    throw started.find((one) => one.status === 'rejected')?.reason;
  }
}
