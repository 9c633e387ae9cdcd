import { createPrivateKey, type KeyObject } from 'node:crypto';
import path from 'node:path';
import { printable } from '../../base/printable.ts';
import type { BackendName } from '../backend-names.ts';
import { keyAlgorithmNamed } from '../key-algorithm.ts';
import type { KeyringAccess } from '../keyring-access.ts';
import { KeysError, KeysRefusal } from '../keys-error.ts';
import { pemFileSource } from './import-key.ts';
import { type ImportedKey, type ImportParts, importSource } from './import-source.ts';
import { type KeySource, privateKeyFrom, privateKeySource } from './key-source.ts';
import { domainsOnDisk, loadOpenDkim, type OpenDkimFiles } from './load-opendkim.ts';
import { type PlannedKey, planOpenDkim } from './opendkim-plan.ts';
import type { TableRemark } from './opendkim-table.ts';
import { signingTable } from './signing-rules.ts';

export interface ImportOpenDkimRequest extends OpenDkimFiles {
  /** Domains that a pattern such as `*` stands for (A-labels). */
  readonly domains: readonly string[];
  readonly backend: BackendName;
  /** undefined: only where the tables say so. */
  readonly subdomains: boolean | undefined;
  readonly ttlS: number;
  readonly adoptRecord: boolean;
  readonly force: boolean;
  readonly dryRun: boolean;
}

/** A key of the tables that could not be imported. */
export interface FailedKey {
  readonly domain: string;
  readonly selector: string;
  readonly place: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
}

export interface OpenDkimImport {
  readonly keys: readonly (ImportedKey & { readonly place: string })[];
  readonly failed: readonly FailedKey[];
  /** What Waxseal cannot do in the way of the tables: the operator must act. */
  readonly untranslated: readonly TableRemark[];
  readonly remarks: readonly TableRemark[];
  /** Domains that go on using one private key together, by its selector and public key. */
  readonly shared: readonly {
    readonly domains: readonly string[];
    readonly selectors: readonly string[];
  }[];
}

/**
 * Imports the keys that OpenDKIM's tables choose. A key that fails does not stop the others.
 *
 * @throws KeysError `key-table-unreadable`, KeysRefusal `key-table`
 */
export async function importOpenDkim(
  access: KeyringAccess,
  request: ImportOpenDkimRequest,
  parts: ImportParts,
): Promise<OpenDkimImport> {
  const tables = await loadOpenDkim(request);
  const onDisk = await domainsOnDisk(tables.keyTable);
  const plan = planOpenDkim({
    keyTable: tables.keyTable,
    signingTable: signingTable(tables.signingTable),
    multiple: tables.multiple,
    domains: [...new Set([...request.domains, ...onDisk])],
    subdomains: request.subdomains ?? false,
  });
  const keys: (ImportedKey & { place: string })[] = [];
  const failed: FailedKey[] = [];
  for (const planned of plan.keys) {
    try {
      const source = await sourceOf(planned, tables.keyDirectory, request.backend);
      const { ttlS, adoptRecord, force, dryRun } = request;
      const subdomains = request.subdomains ?? (planned.subdomains ? true : undefined);
      const { domain, selector } = planned;
      const options = { domain, selector, subdomains, ttlS, adoptRecord, force, dryRun };
      const imported = await importSource(access, source, options, parts);
      const warnings = imported.warnings.filter((text) => text !== source.algorithm.weakness);
      keys.push({ ...imported, warnings, place: planned.place });
    } catch (error) {
      if (!(error instanceof KeysError)) throw error;
      failed.push(failedKey(planned, error));
    }
  }
  return {
    keys,
    failed,
    untranslated: [...tables.untranslated, ...plan.untranslated],
    remarks: [...tables.signingTable.remarks, ...plan.remarks, ...weakKeys(keys)],
    shared: sharedKeys(keys),
  };
}

async function sourceOf(
  planned: PlannedKey,
  keyDirectory: string,
  backend: BackendName,
): Promise<KeySource> {
  const { keyData, place } = planned;
  // dkimf_loadkey: these are paths, everything else is the key itself.
  if (/^\.{0,2}\//.test(keyData)) {
    return await pemFileSource(path.resolve(keyDirectory, keyData), backend);
  }
  return privateKeySource(inlineKey(keyData, place), place, backend);
}

/** PEM, or DER in base64, on the line itself. */
function inlineKey(keyData: string, place: string): KeyObject {
  const octets = Buffer.from(keyData, 'latin1');
  if (keyData.startsWith('-----')) return privateKeyFrom(octets, place);
  const der = Buffer.from(keyData, 'base64');
  try {
    for (const type of ['pkcs1', 'pkcs8'] as const) {
      try {
        return createPrivateKey({ key: der, type, format: 'der' });
      } catch {
        // Tried as the other kind, then told below without a cause that might quote it.
      }
    }
  } finally {
    der.fill(0);
    octets.fill(0);
  }
  throw new KeysRefusal('key-format', `${place} holds neither a path nor a private key`, {
    hint: 'a path begins with "/", "./" or "../"; a key is PEM or base64 of DER, not encrypted',
  });
}

function failedKey(planned: PlannedKey, error: KeysError): FailedKey {
  const { domain, selector, place } = planned;
  const { code, hint } = error;
  return { domain, selector, place, code, message: printable(error.message), hint };
}

/** Among many keys a weak one is told with its name. */
function weakKeys(keys: readonly (ImportedKey & { readonly place: string })[]): TableRemark[] {
  return keys.flatMap(({ domain, key, place }) => {
    const weakness = keyAlgorithmNamed(key.algorithm)?.weakness;
    if (weakness === undefined) return [];
    return [{ place, message: `${domain.domain}, selector ${key.selector}: ${weakness}` }];
  });
}

function sharedKeys(keys: readonly ImportedKey[]): OpenDkimImport['shared'] {
  const byKey = Map.groupBy(keys, (imported) => imported.key.publicKey);
  return [...byKey.values()]
    .filter((same) => same.length > 1)
    .map((same) => ({
      domains: same.map((imported) => imported.domain.domain),
      selectors: [...new Set(same.map((imported) => imported.key.selector))],
    }));
}
