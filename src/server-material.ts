import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { parseAllowList } from './accept/allow-list.ts';
import { checkTls, type ListenerAccess } from './accept/listener.ts';
import { parseUsers } from './accept/users.ts';
import { checkCertificates } from './base/certificates.ts';
import { systemClock } from './base/clock.ts';
import { errorMessage, WaxsealError } from './base/errors.ts';
import type { Config } from './config/config.ts';
import { type Endpoint, parseEndpoint } from './config/network-formats.ts';
import { type Hops, readCredentials } from './config/read-credentials.ts';
import { type KeyringOptions, loadKeyring } from './keys/keyring.ts';
import { Kms } from './keys/kms/kms.ts';

/**
 * What a server needs besides its configuration: files, directories, addresses. `serve` reads them
 * at its start, the reload some of them again, and `config check` all of them for its findings: the
 * same functions for all three, so that a good check means a start.
 */

/** What a server reads at its start. */
export interface ServerMaterial {
  readonly access: ListenerAccess;
  readonly hops: Hops;
  /** Authorities for `relay.tls: verify`, as PEM, besides the usual ones. */
  readonly relayCa: string | undefined;
}

/**
 * Reads all that is needed but the keyring.
 *
 * @throws WaxsealError naming the setting, for the first that cannot be used
 */
export async function readMaterial(config: Config): Promise<ServerMaterial> {
  await checkSpool(config);
  return {
    access: await readAccess(config),
    hops: await readCredentials(config),
    relayCa: await readRelayCa(config),
  };
}

/**
 * Reads and checks what decides who may send; a reload reads it again.
 *
 * @throws WaxsealError naming the setting
 */
export async function readAccess(config: Config): Promise<ListenerAccess> {
  const { allow } = config.clients;
  parseAllowList(allow);
  return { allow, users: await readUsers(config), tls: await readTls(config) };
}

/** Where the keyring is and what opens its keys, and whether one without domains is meant. */
export function keyringOptions({ keys, signing }: Config, kms: Kms): KeyringOptions {
  return { ...keys, kms, mayBeEmpty: signing.unmatched === 'unsigned' };
}

/** One thing that a server needs, for `config check`. */
export interface MaterialCheck {
  /** The settings that it depends on; the first is named in a finding. */
  readonly settings: readonly string[];
  /** @returns warnings. @throws WaxsealError when `serve` would not start */
  readonly check: (config: Config) => Promise<readonly string[]>;
}

export const materialChecks: readonly MaterialCheck[] = [
  { settings: ['listen'], check: checkListen },
  { settings: ['clients.usersFile'], check: silently(readUsers) },
  { settings: ['tls.certFile', 'tls.keyFile', 'tls.clientCaFile'], check: silently(readTls) },
  { settings: ['relay.caFile'], check: silently(readRelayCa) },
  { settings: ['route', 'smarthost'], check: silently(readCredentials) },
  { settings: ['keys.dir', 'keys.masterKeyFile'], check: checkKeyring },
  { settings: ['spool.dir'], check: silently(checkSpool) },
];

function silently(read: (config: Config) => Promise<unknown>): MaterialCheck['check'] {
  return async (config) => {
    await read(config);
    return [];
  };
}

async function checkKeyring(config: Config): Promise<readonly string[]> {
  const quiet = { warning: () => undefined, kmsCalls: () => undefined };
  const kms = new Kms(config.kms, { clock: systemClock, log: quiet });
  try {
    const { fault, warnings } = await loadKeyring(keyringOptions(config, kms));
    // It starts, and answers 451 to every MAIL.
    return fault === undefined || warnings.length > 0 ? warnings : [fault];
  } finally {
    await kms.close();
  }
}

async function readUsers({ clients }: Config): Promise<ListenerAccess['users']> {
  if (clients.usersFile === '') return undefined;
  return parseUsers((await readSetting('clients.usersFile', clients.usersFile)).toString());
}

async function readTls({ tls }: Config): Promise<ListenerAccess['tls']> {
  if (tls.certFile === '') return undefined;
  const material = {
    cert: await readSetting('tls.certFile', tls.certFile),
    key: await readSetting('tls.keyFile', tls.keyFile),
    clientCa:
      tls.clientCaFile === '' ? undefined : await readSetting('tls.clientCaFile', tls.clientCaFile),
    minVersion: tls.minVersion,
  };
  checkTls(material);
  return material;
}

async function readRelayCa({ relay }: Config): Promise<string | undefined> {
  if (relay.caFile === '') return undefined;
  const pem = (await readSetting('relay.caFile', relay.caFile)).toString('latin1');
  checkCertificates('relay.caFile', pem);
  return pem;
}

async function readSetting(setting: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const message = `${setting}: ${path} cannot be read: ${errorMessage(cause)}`;
    throw new WaxsealError('file-unreadable', message, { cause });
  }
}

/** Without a spool, messages over `spool.messageMemoryBytes` would be deferred one by one. */
async function checkSpool({ spool }: Config): Promise<void> {
  try {
    if (!(await stat(spool.dir)).isDirectory()) throw new Error('it is no directory');
    await access(spool.dir, constants.W_OK | constants.X_OK);
  } catch (cause) {
    const message = `spool.dir: ${spool.dir} cannot be written: ${errorMessage(cause)}`;
    throw new WaxsealError('spool-unusable', message, {
      cause,
      hint: 'make it, or give it to the user that Waxseal runs as',
    });
  }
}

/** Looks whether the addresses are this machine's; ports may be taken, by Waxseal itself. */
async function checkListen({ listen }: Config): Promise<readonly string[]> {
  for (const written of listen) await tryListen(endpointOf(written).host, written);
  return [];
}

function tryListen(host: string, written: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause: Error) => {
      const message = `listen: ${written} is no address of this machine: ${cause.message}`;
      reject(new WaxsealError('listen-failed', message, { cause }));
    });
    server.listen({ host, port: 0 }, () => server.close(() => resolve()));
  });
}

/**
 * Host and port of an entry of `listen`.
 *
 * @throws WaxsealError `config-invalid`
 */
export function endpointOf(written: string): Endpoint {
  const endpoint = parseEndpoint(written);
  if (endpoint === undefined) throw new WaxsealError('config-invalid', `listen: ${written}`);
  return endpoint;
}
