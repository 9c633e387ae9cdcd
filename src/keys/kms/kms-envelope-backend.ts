import { createHash, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
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
import { localSigner } from '../local-signer.ts';
import type { KeyMaterial } from '../manifest.ts';
import type { KeyIdentity } from '../sealed-key.ts';
import type { Kms } from './kms.ts';
import { parseKmsArn } from './kms-arn.ts';
import { KmsError } from './kms-fault.ts';
import {
  creatableAlgorithm,
  type KmsAlgorithm,
  keyName,
  kmsAlgorithmOf,
  kmsOf,
} from './kms-identity.ts';

/**
 * Private keys in the keyring, encrypted by a key that never leaves AWS KMS: one Decrypt when a
 * relay starts, signatures in memory afterwards. Domain and selector are the encryption context, so
 * a ciphertext that was put in another key's place does not open, and policies can name domains
 * (`kms:EncryptionContext:domain`). In the manifest:
 *
 *     material:
 *       wrappingKey: arn:aws:kms:eu-central-1:111122223333:key/…
 *       ciphertext: AQIDAHh…            # base64 of the PKCS#8
 *
 * The wrapping key itself is never disabled or deleted: no operation here could.
 */
export const kmsEnvelopeBackend: BackendRow = {
  inAws: true,
  // The wrapping key is there already, with its permissions.
  usableAtOnce: true,
  connect: async (options) => new KmsEnvelopeBackend(kmsOf(options)),
};

/** Octets that Encrypt takes: https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html */
const MAX_PLAIN_BYTES = 4096;
/** At the start of a relay, which must not wait for a KMS that is down. Later tries have all the time of a call. */
const OPEN_WITHIN_MS = 5000;

class KmsEnvelopeBackend implements KeyBackend {
  readonly warnings: readonly string[] = [];
  readonly #kms: Kms;

  constructor(kms: Kms) {
    this.#kms = kms;
  }

  /** Nothing is left in KMS by it, so the same intent may simply be followed again. */
  async create(identity: KeyIdentity): Promise<KeptKey> {
    const { spec } = creatableAlgorithm(identity);
    const wrappingKey = this.#wrappingKey();
    const made = await this.#kms.caller.call({
      operation: 'GenerateDataKeyPairWithoutPlaintext',
      family: spec.pairFamily,
      ...this.#kms.placeOf(wrappingKey),
      input: (region) => ({
        KeyId: this.#kms.arnIn(wrappingKey, region),
        KeyPairSpec: spec.keySpec,
        EncryptionContext: contextOf(identity),
      }),
    });
    const spki = Buffer.from(made.PublicKey ?? []);
    return {
      publicKey: createPublicKey({ key: spki, type: 'spki', format: 'der' }),
      material: materialOf(wrappingKey, made.PrivateKeyCiphertextBlob),
    };
  }

  async keep(identity: KeyIdentity, privateKey: KeyObject): Promise<KeptKey> {
    const wrappingKey = this.#wrappingKey();
    const plain = privateKey.export({ type: 'pkcs8', format: 'der' });
    try {
      if (plain.length > MAX_PLAIN_BYTES) {
        const message = `the private key takes ${plain.length} octets, and KMS encrypts ${MAX_PLAIN_BYTES}`;
        throw new KeysRefusal('key-format', message);
      }
      const { CiphertextBlob } = await this.#kms.caller.call({
        operation: 'Encrypt',
        family: 'symmetric',
        ...this.#kms.placeOf(wrappingKey),
        input: (region) => ({
          KeyId: this.#kms.arnIn(wrappingKey, region),
          Plaintext: plain,
          EncryptionContext: contextOf(identity),
        }),
      });
      const material = materialOf(wrappingKey, CiphertextBlob);
      return { publicKey: createPublicKey(privateKey), material };
    } finally {
      plain.fill(0);
    }
  }

  /** A key is nowhere but in the manifest. */
  async holds(): Promise<boolean> {
    return false;
  }

  async open(key: StoredKey): Promise<OpenedKey> {
    const { wrappingKey = '', ciphertext = '' } = key.material ?? {};
    const algorithm = kmsAlgorithmOf(key);
    const name = keyName(key);
    const unusable = (reason: string): OpenedKey => ({ kind: 'unusable', scope: 'key', reason });
    if (parseKmsArn(wrappingKey) === undefined || ciphertext === '') {
      return unusable(`${name}: the manifest has no wrapped key for it`);
    }
    if (algorithm === undefined) return unusable(`${name}: no keys of ${key.algorithm} in KMS`);
    const vaulted = await this.#kms.vault.get(idOf(key), name, async (isWaitedFor) => {
      const withinMs = isWaitedFor ? OPEN_WITHIN_MS : undefined;
      const privateKey = await this.#unwrap(key, wrappingKey, ciphertext, algorithm, withinMs);
      return localSigner(algorithm.algorithm, privateKey);
    });
    if (vaulted.kind === 'open') return vaulted;
    const { error, later } = vaulted;
    const scope = error.row.holdsKey || error.kind === 'other' ? 'key' : 'backend';
    return { kind: 'unusable', scope, reason: later.reason, later };
  }

  /** Whoever may call Decrypt can sign; only `destroy` ends that. */
  async disable(): Promise<void> {}

  /** The ciphertext goes with the material, which the caller takes out of the manifest. */
  async destroy(): Promise<Destruction> {
    return { kind: 'done' };
  }

  async cancelDestroy(key: StoredKey): Promise<void> {
    throw new KeysRefusal('key-destroyed', `the private key of ${key.selector} is erased`, {
      hint: `"waxseal keys create ${key.domain}" makes a new one`,
    });
  }

  async orphans(): Promise<readonly OrphanKey[]> {
    return [];
  }

  /**
   * The private half, to be published after its revocation.
   *
   * @throws KmsError, KeysError `key-unusable`
   */
  async reveal(key: StoredKey): Promise<KeyObject> {
    const { wrappingKey = '', ciphertext = '' } = key.material ?? {};
    const algorithm = kmsAlgorithmOf(key);
    if (algorithm === undefined || ciphertext === '') {
      throw new KeysError(
        'key-unusable',
        `${keyName(key)}: there is no wrapped key of it any more`,
      );
    }
    return await this.#unwrap(key, wrappingKey, ciphertext, algorithm);
  }

  /** @throws KmsError */
  async #unwrap(
    key: StoredKey,
    wrappingKey: string,
    ciphertext: string,
    { algorithm }: KmsAlgorithm,
    withinMs?: number,
  ): Promise<KeyObject> {
    const { Plaintext } = await this.#kms.caller.call({
      operation: 'Decrypt',
      family: 'symmetric',
      ...this.#kms.placeOf(wrappingKey),
      withinMs,
      input: (region) => ({
        KeyId: this.#kms.arnIn(wrappingKey, region),
        CiphertextBlob: Buffer.from(ciphertext, 'base64'),
        EncryptionContext: contextOf(key),
      }),
    });
    if (Plaintext === undefined) throw notThisKey(key);
    const plain = Buffer.from(Plaintext.buffer, Plaintext.byteOffset, Plaintext.byteLength);
    let privateKey: KeyObject;
    try {
      privateKey = createPrivateKey({ key: plain, type: 'pkcs8', format: 'der' });
    } catch {
      throw notThisKey(key);
    } finally {
      plain.fill(0);
    }
    const octets = algorithm.recordOctets(createPublicKey(privateKey));
    if (octets.toString('base64') !== key.publicKey) throw notThisKey(key);
    return privateKey;
  }

  #wrappingKey(): string {
    const { wrappingKey } = this.#kms.settings;
    if (wrappingKey !== '') return wrappingKey;
    throw new KeysRefusal('key-wrapping-missing', 'kms.wrappingKey is not set', {
      hint: 'name the ARN of a symmetric KMS key there; it encrypts the private keys of kms-envelope',
    });
  }
}

function contextOf({ domain, selector }: Pick<KeyIdentity, 'domain' | 'selector'>) {
  return { domain, selector };
}

function materialOf(wrappingKey: string, blob: Uint8Array | undefined): KeyMaterial {
  if (blob === undefined) throw new KmsError('other', 'the answer of KMS has no ciphertext');
  return { wrappingKey, ciphertext: Buffer.from(blob).toString('base64') };
}

/** All that an opened key depends on. */
function idOf({ domain, selector, algorithm, publicKey, material }: StoredKey): string {
  const all = [domain, selector, algorithm, publicKey, material?.wrappingKey, material?.ciphertext];
  return createHash('sha256').update(JSON.stringify(all)).digest('base64');
}

function notThisKey(key: StoredKey): KmsError {
  const message = `what KMS decrypted is not the key of ${keyName(key)} in the manifest`;
  return new KmsError('wrong-context', message);
}
