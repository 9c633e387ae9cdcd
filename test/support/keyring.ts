import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { AddedKeys } from '../../src/keys/import/take-over.ts';
import { type KeyAlgorithm, keyAlgorithmNamed } from '../../src/keys/key-algorithm.ts';
import { recordName } from '../../src/keys/key-name.ts';
import { recordValue } from '../../src/keys/key-record.ts';
import type { KeyringAccess } from '../../src/keys/keyring-access.ts';
import type { ManifestKey } from '../../src/keys/manifest.ts';
import type { TxtAnswer, TxtLookup } from '../../src/keys/txt-lookup.ts';
import { createKeys } from './create-keys.ts';

/** A keyring's place in a temporary directory of its own. */
export interface KeyringPlace {
  readonly root: string;
  /** `keys.dir` */
  readonly dir: string;
  readonly masterKeyFile: string;
}

export async function makeKeyringPlace(): Promise<KeyringPlace> {
  const root = await mkdtemp(path.join(tmpdir(), 'waxseal-keys-'));
  return {
    root,
    dir: path.join(root, 'keys'),
    masterKeyFile: path.join(root, 'secrets', 'master.key'),
  };
}

export async function removeKeyringPlace(place: KeyringPlace): Promise<void> {
  await rm(place.root, { recursive: true, force: true });
}

export function algorithm(name: string): KeyAlgorithm {
  const row = keyAlgorithmNamed(name);
  if (row === undefined) throw new Error(`no algorithm ${name}`);
  return row;
}

/** `createKeys` with short arguments; Ed25519 is quick to make. */
export async function addKeys(
  access: KeyringAccess,
  domain: string,
  algorithms: readonly string[] = ['ed25519'],
  subdomains?: boolean,
): Promise<AddedKeys> {
  return await createKeys(access, {
    domain,
    algorithms: algorithms.map(algorithm),
    subdomains,
    ttlS: 3600,
  });
}

/** DNS as a table; names that it lacks are absent. */
export class TxtTable implements TxtLookup {
  readonly asked: string[] = [];
  readonly #answers = new Map<string, TxtAnswer>();

  set(name: string, ...texts: readonly string[]): void {
    this.#answers.set(name, { kind: 'found', texts });
  }

  fail(name: string, reason: string): void {
    this.#answers.set(name, { kind: 'failed', reason });
  }

  publish(domain: string, ...keys: readonly ManifestKey[]): void {
    for (const key of keys) this.set(recordName(key.selector, domain), recordValue(key));
  }

  async txt(name: string): Promise<TxtAnswer> {
    this.asked.push(name);
    return this.#answers.get(name) ?? { kind: 'absent' };
  }
}
