import { getServers } from 'node:dns';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { Listener } from './accept/listener.ts';
import type { ListenerTls } from './accept/session-server.ts';
import { parseUsers, type Users } from './accept/users.ts';
import type { Clock } from './base/clock.ts';
import { errorMessage, WaxsealError } from './base/errors.ts';
import type { Log } from './base/log.ts';
import { StubResolver } from './base/resolver.ts';
import type { Config } from './config/config.ts';
import { type Endpoint, formatEndpoint, parseEndpoint } from './config/network-formats.ts';
import { readCredentials } from './config/read-credentials.ts';
import { KeyringHolder } from './keys/keyring-holder.ts';
import { liveTransactions } from './live-transactions.ts';
import type { OwnEndpoint } from './relay/address-policy.ts';
import { Router } from './relay/route.ts';
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
   * Reads keyring, certificates, users file and client list again and swaps all of them; if one is
   * bad, none, and the log says why. Never rejects.
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

/** What a reload swaps. */
interface Reloadable {
  readonly allow: readonly string[];
  readonly tls: ListenerTls | undefined;
  readonly users: Users | undefined;
}

/**
 * Wires the parts, loads the keyring and listens.
 *
 * @throws WaxsealError when anything that it needs to start cannot be used
 */
export async function startServer(parts: ServerParts): Promise<Server> {
  const { config, log, clock } = parts;
  const keyring = new KeyringHolder(config.keys);
  await loadKeyring(keyring, log, 'start');
  const first = await readReloadable(config);
  const resolver = new StubResolver({
    ...config.dns,
    servers: config.dns.servers.length > 0 ? config.dns.servers : getServers(),
    clock,
  });
  const { relay } = config;
  const router = new Router({
    ...(await readCredentials(config)),
    resolver,
    mx: { port: relay.port, tls: relay.tls },
    allowPrivate: relay.allowPrivate,
    allowAddressLiterals: relay.allowAddressLiterals,
    ownNames: [config.server.name, relay.ehloName],
    ownEndpoints: ownEndpoints(config.listen),
  });
  const ca =
    relay.caFile === ''
      ? undefined
      : (await readSetting('relay.caFile', relay.caFile)).toString('latin1');
  const listener = new Listener(
    {
      name: config.server.name,
      certificateNames: config.clients.certificateNames,
      limits: config.limits,
      ...first,
    },
    {
      clock,
      transactions: liveTransactions({
        config,
        clock,
        log,
        keyring,
        router,
        ca,
        spool: new Spool(config.spool, clock),
      }),
      onEvent: (event, details) => log.debug(event, details),
      onFault: (where, error) => log.fault(where, error),
    },
  );
  const listening = await listenAll(listener, config.listen);
  log.started({ name: config.server.name, listen: listening, version: parts.version });
  return {
    listening,
    reload: () => reload(parts, keyring, listener),
    drain: async (reason) => {
      log.draining({ reason, sessions: listener.sessionCount });
      const drained = await listener.drain(config.drain.timeoutMs);
      resolver.close();
      log.stopped({ drained });
      return drained;
    },
  };
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
  keyring: KeyringHolder,
  listener: Listener,
): Promise<void> {
  const { log } = parts;
  try {
    const next = await readReloadable(await parts.reloadConfig());
    await loadKeyring(keyring, log, 'reload');
    listener.updateTls(next.tls);
    listener.updateUsers(next.users);
    listener.updateAllowList(next.allow);
    log.reloaded({ what: ['keyring', 'tls', 'users', 'clients.allow'] });
  } catch (error) {
    const hint = error instanceof WaxsealError && error.hint ? ` (${error.hint})` : '';
    log.reloadFailed({ reason: errorMessage(error) + hint });
  }
}

async function loadKeyring(keyring: KeyringHolder, log: Log, when: string): Promise<void> {
  const result = await keyring.reload();
  if (result.kind === 'kept') throw result.error;
  for (const message of result.keyring.warnings)
    log.warning({ about: `keyring (${when})`, message });
}

async function readReloadable(config: Config): Promise<Reloadable> {
  const { tls, clients } = config;
  return {
    allow: clients.allow,
    users:
      clients.usersFile === ''
        ? undefined
        : parseUsers((await readSetting('clients.usersFile', clients.usersFile)).toString()),
    tls:
      tls.certFile === ''
        ? undefined
        : {
            cert: await readSetting('tls.certFile', tls.certFile),
            key: await readSetting('tls.keyFile', tls.keyFile),
            clientCa:
              tls.clientCaFile === ''
                ? undefined
                : await readSetting('tls.clientCaFile', tls.clientCaFile),
            minVersion: tls.minVersion,
          },
  };
}

async function readSetting(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const message = `${setting}: ${path} cannot be read: ${errorMessage(cause)}`;
    throw new WaxsealError('file-unreadable', message, { cause });
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

function endpointOf(written: string): Endpoint {
  const endpoint = parseEndpoint(written);
  if (endpoint === undefined) throw new WaxsealError('config-invalid', `listen: ${written}`);
  return endpoint;
}
