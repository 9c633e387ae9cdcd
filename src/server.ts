import { getServers } from 'node:dns';
import { networkInterfaces } from 'node:os';
import { Listener } from './accept/listener.ts';
import type { Clock } from './base/clock.ts';
import type { Log } from './base/log.ts';
import { StubResolver } from './base/resolver.ts';
import type { Config } from './config/config.ts';
import { formatEndpoint } from './config/network-formats.ts';
import { LiveTransactions } from './live-transactions.ts';
import type { OwnEndpoint } from './relay/address-policy.ts';
import { Router } from './relay/route.ts';
import { ServerKeyring, withHint } from './server-keyring.ts';
import { endpointOf, readAccess, readMaterial } from './server-material.ts';
import { Spool } from './spool/spool.ts';

/** What a server is started with. */
export interface ServerParts {
  readonly config: Config;
  /** Reads the configuration again, for a reload. @throws when it is not good */
  readonly reloadConfig: () => Promise<Config>;
  readonly log: Log;
  readonly clock: Clock;
  readonly version: string;
}

/** A running Waxseal. */
export interface Server {
  /** `host:port` of each listening socket, with the port that it really has. */
  readonly listening: readonly string[];
  /**
   * Reads certificates, users file and client list again and swaps all of them, and the keyring
   * with them; if one is bad, none, and the log says why. What is bad of the keyring keeps its old
   * state, and the rest is taken. Never rejects.
   */
  reload(): Promise<void>;
  /**
   * Stops accepting and lets running transactions finish.
   *
   * @param reason for the log
   * @returns true when all of them finished within `drain.timeoutMs`
   */
  drain(reason: string): Promise<boolean>;
}

/**
 * Wires the parts, loads the keyring and listens.
 *
 * @throws WaxsealError when anything that it needs to start cannot be used
 */
export async function startServer(parts: ServerParts): Promise<Server> {
  const { config, log, clock } = parts;
  const keyring = await ServerKeyring.load(parts);
  const material = await readMaterial(config);
  const resolver = new StubResolver({
    ...config.dns,
    servers: config.dns.servers.length > 0 ? config.dns.servers : getServers(),
    clock,
  });
  const { relay } = config;
  const router = new Router({
    ...material.hops,
    resolver,
    mx: { port: relay.port, tls: relay.tls },
    allowPrivate: relay.allowPrivate,
    allowAddressLiterals: relay.allowAddressLiterals,
    ownNames: [config.server.name, relay.ehloName],
    ownEndpoints: ownEndpoints(config.listen),
  });
  const spool = new Spool(config.spool, clock);
  const live = { config, clock, log, keyring: keyring.holder, router, ca: material.relayCa, spool };
  const transactions = new LiveTransactions(live);
  const listener = new Listener(
    {
      name: config.server.name,
      certificateNames: config.clients.certificateNames,
      limits: config.limits,
      ...material.access,
    },
    {
      clock,
      transactions,
      onEvent: (event, details) => log.debug(event, details),
      onFault: (where, error) => log.fault(where, error),
    },
  );
  const listening = await listenAll(listener, config.listen);
  log.started({ name: config.server.name, listen: listening, version: parts.version });
  keyring.start();
  let reloads = Promise.resolve();
  return {
    listening,
    reload: () => {
      // One after the other: each compares with what the one before it has put in force.
      reloads = reloads.then(() => reload(parts, keyring, listener));
      return reloads;
    },
    drain: async (reason) => {
      log.draining({ reason, sessions: listener.sessionCount });
      const drained = await drain(parts, listener, transactions);
      await keyring.stop();
      resolver.close();
      log.stopped({ drained });
      return drained;
    },
  };
}

/** Sessions first, then transactions whose client has gone; all within `drain.timeoutMs`. */
async function drain(
  { config, clock }: ServerParts,
  listener: Listener,
  transactions: LiveTransactions,
): Promise<boolean> {
  const endMs = clock.monotonicMs() + config.drain.timeoutMs;
  await listener.drain(config.drain.timeoutMs);
  let cancel = () => {};
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(Math.max(0, endMs - clock.monotonicMs()), resolve);
  });
  await Promise.race([transactions.idle(), late]);
  cancel();
  return transactions.abandon() === 0;
}

async function listenAll(listener: Listener, endpoints: readonly string[]): Promise<string[]> {
  const listening: string[] = [];
  try {
    for (const endpoint of endpoints) {
      const { host, port } = endpointOf(endpoint);
      listening.push(formatEndpoint({ host, port: await listener.listen({ host, port }) }));
    }
  } catch (error) {
    await listener.close();
    throw error;
  }
  return listening;
}

async function reload(
  parts: ServerParts,
  keyring: ServerKeyring,
  listener: Listener,
): Promise<void> {
  const { log } = parts;
  try {
    // Everything is read and checked before anything is swapped, and nothing waits in between. What
    // is wrong with a part of the keyring concerns that part alone (decision 015).
    const access = await readAccess(await parts.reloadConfig());
    const next = await keyring.prepare();
    listener.update(access);
    const what = ['tls', 'users', 'clients.allow'];
    if (next.kind === 'loaded') {
      next.commit();
      keyring.warn('reload');
      what.unshift('keyring');
    }
    log.reloaded({ what, by: 'signal', generation: keyring.holder.keyring?.generation });
    const complaints = next.kind === 'loaded' ? next.complaints : [next.error];
    for (const complaint of complaints) log.reloadFailed({ reason: withHint(complaint) });
  } catch (error) {
    log.reloadFailed({ reason: withHint(error) });
  }
}

/** Where we listen, a wildcard address written out as the machine's own addresses. */
function ownEndpoints(listen: readonly string[]): OwnEndpoint[] {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return listen.flatMap((endpoint) => {
    const { host, port } = endpointOf(endpoint);
    if (host === '0.0.0.0' || host === '::') return own.map(({ address }) => ({ address, port }));
    return [{ address: host, port }];
  });
}
