import { createPublicKey, type KeyObject } from 'node:crypto';
import type {
  BackendRow,
  Destruction,
  KeptKey,
  KeyBackend,
  OpenedKey,
  OrphanKey,
  StoredKey,
} from '../backend.ts';
import { KeysError, KeysRefusal } from '../keys-error.ts';
import type { KeyMaterial } from '../manifest.ts';
import type { KeyIdentity } from '../sealed-key.ts';
import { destroyKmsKey, disableKmsKey, type KmsPlace, restoreKmsKey } from './end-kms-key.ts';
import type { Kms } from './kms.ts';
import { parseKmsArn } from './kms-arn.ts';
import { creatableAlgorithm, keyName, kmsAlgorithmOf, kmsOf } from './kms-identity.ts';
import { describeKmsKey, newKmsPublicKey } from './kms-keys.ts';
import { kmsSigner } from './kms-signer.ts';
import { taggedKeys, tagsHidden } from './kms-tags.ts';
import { makeKmsKey } from './make-kms-key.ts';

/**
 * Private keys that never leave AWS KMS; every signature is a call. In the manifest:
 *
 *     material:
 *       arn: arn:aws:kms:eu-central-1:111122223333:key/mrk-…
 *       regions: eu-central-1,eu-west-1       # where it is; absent: in the ARN's Region only
 */
export const kmsSignBackend: BackendRow = {
  fallBack: 'kms-envelope',
  imports: 'by-reference',
  inAws: true,
  regionsOf: (material) => regionsIn(material),
  connect: async (options) => new KmsSignBackend(kmsOf(options), options.regions),
};

class KmsSignBackend implements KeyBackend {
  readonly warnings: readonly string[] = [];
  readonly #kms: Kms;
  /** Of new keys. */
  readonly #regions: readonly string[] | undefined;

  constructor(kms: Kms, regions: readonly string[] | undefined) {
    this.#kms = kms;
    this.#regions = regions;
  }

  async create(
    identity: KeyIdentity,
    intent: string,
    begun: 'now' | 'perhaps-before' = 'perhaps-before',
  ): Promise<KeptKey> {
    const { spec } = creatableAlgorithm(identity);
    const regions = this.#regions ?? (await this.#kms.regions());
    const order = { identity, intent, spec, regions };
    const arn = await makeKmsKey(this.#kms, order, begun !== 'now');
    const spki = await newKmsPublicKey(this.#kms, arn, regions[0] ?? '');
    return {
      publicKey: createPublicKey({ key: spki, type: 'spki', format: 'der' }),
      material: regions.length > 1 ? { arn, regions: regions.join(',') } : { arn },
    };
  }

  async keep(): Promise<KeptKey> {
    const message = 'kms-sign takes no private key from outside: who held it could still sign';
    throw new KeysRefusal('key-import', message, {
      hint: 'import an ARN of a key that was made in KMS, or keep the PEM with kms-envelope',
    });
  }

  /** KMS names keys itself, so a new key can never take the place of another. */
  async holds(): Promise<boolean> {
    return false;
  }

  async open(key: StoredKey): Promise<OpenedKey> {
    const place = placeOf(this.#kms, key);
    const found = kmsAlgorithmOf(key);
    const name = keyName(key);
    if (place === undefined) return unusable(`${name}: the manifest has no KMS ARN for it`);
    if (found === undefined) return unusable(`${name}: KMS has no keys of ${key.algorithm}`);
    const { algorithm, spec } = found;
    let publicKey: KeyObject;
    try {
      publicKey = algorithm.publicKeyFrom(Buffer.from(key.publicKey, 'base64'));
    } catch {
      return unusable(`${name}: the public key in the manifest is no ${key.algorithm} key`);
    }
    const { arn, home, regions } = place;
    this.#kms.caller.prepare(regions[0] ?? home);
    const signer = kmsSigner(this.#kms, { name, arn, regions, algorithm, spec, publicKey });
    return { kind: 'open', signer };
  }

  async disable(key: StoredKey): Promise<void> {
    await disableKmsKey(this.#kms, this.#place(key));
  }

  async destroy(key: StoredKey): Promise<Destruction> {
    return await destroyKmsKey(this.#kms, this.#place(key));
  }

  async cancelDestroy(key: StoredKey): Promise<void> {
    await restoreKmsKey(this.#kms, this.#place(key));
  }

  async orphans(known: readonly StoredKey[]): Promise<readonly OrphanKey[]> {
    const listed = new Set(known.map((key) => parseKmsArn(key.material?.arn ?? '')?.keyId));
    const orphans: OrphanKey[] = [];
    for (const region of await this.#kms.regions()) {
      const { ours, isBlind } = await taggedKeys(this.#kms, region);
      if (isBlind) {
        throw tagsHidden(region, 'ListResourceTags', 'nobody can say which keys are ours');
      }
      for (const { arn, domain, selector, intent } of ours) {
        const { keyId } = parseKmsArn(arn) ?? {};
        if (keyId === undefined || listed.has(keyId)) continue;
        listed.add(keyId); // its replicas are no further orphans
        const facts = await describeKmsKey(this.#kms, arn, region);
        if (facts === undefined || facts.state.startsWith('Pending')) continue;
        const { createdAt } = facts;
        orphans.push({ reference: arn, domain, selector, intent, createdAt });
      }
    }
    return orphans;
  }

  #place(key: StoredKey): KmsPlace {
    const place = placeOf(this.#kms, key);
    if (place !== undefined) return place;
    throw new KeysError('key-unusable', `${keyName(key)}: the manifest has no KMS ARN for it`);
  }
}

function placeOf(kms: Kms, { material }: StoredKey): KmsPlace | undefined {
  const arn = material?.arn ?? '';
  const parsed = parseKmsArn(arn);
  if (parsed === undefined) return undefined;
  return { arn, home: parsed.region, regions: kms.regionsOf(arn, regionsIn(material)) };
}

function regionsIn(material: KeyMaterial | undefined): readonly string[] {
  const parsed = parseKmsArn(material?.arn ?? '');
  if (parsed === undefined) return [];
  return material?.regions?.split(',') ?? [parsed.region];
}

function unusable(reason: string): OpenedKey {
  return { kind: 'unusable', scope: 'key', reason };
}
