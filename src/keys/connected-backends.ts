import { errorMessage, WaxsealError } from '../base/errors.ts';
import type { BackendOptions, KeyBackend, OpenedKey } from './backend.ts';
import type { BackendName } from './backend-names.ts';
import { BACKENDS } from './backends.ts';
import { KeysError } from './keys-error.ts';
import type { ManifestKey } from './manifest.ts';
import { OpeningQueue, type Patience } from './patient-opening.ts';
import { storedKey } from './stored-key.ts';

/**
 * The back ends that a keyring uses, connected once: a remote one has budgets and connections that
 * must outlive a reload.
 */
export class ConnectedBackends {
  readonly #options: BackendOptions;
  readonly #connected = new Map<BackendName, KeyBackend>();
  readonly #openings = new OpeningQueue();

  constructor(options: BackendOptions) {
    this.#options = options;
  }

  /** What the operator should know of them. */
  get warnings(): readonly string[] {
    return [...this.#connected.values()].flatMap((backend) => backend.warnings);
  }

  /**
   * Connects those that are not yet.
   *
   * @param again also those that cost nothing to connect (their master key may be another one)
   * @returns why some could not; a connection that was there stays
   */
  async connect(names: Iterable<BackendName>, again: boolean): Promise<readonly KeysError[]> {
    const failures: KeysError[] = [];
    for (const name of names) {
      if (this.#connected.has(name) && !(again && this.isLocal(name))) continue;
      try {
        this.#connected.set(name, await BACKENDS[name].connect(this.#options));
      } catch (error) {
        failures.push(knownError(error));
      }
    }
    return failures;
  }

  /** Opening a key of it again costs no more than reading a file. */
  isLocal(name: BackendName): boolean {
    return BACKENDS[name].isLocal === true;
  }

  /** The back end; connects it if need be. @throws KeysError when it cannot be used */
  async get(name: BackendName): Promise<KeyBackend> {
    const [failure] = await this.connect([name], false);
    const backend = this.#connected.get(name);
    if (backend !== undefined) return backend;
    throw failure ?? new KeysError('key-unusable', `no back end ${name}`);
  }

  /**
   * Opens a key. Never throws: what goes wrong concerns this key alone.
   *
   * @param patience how long a back end that is not local is waited for; by default as long as it takes
   */
  async open(domain: string, key: ManifestKey, patience?: Patience): Promise<OpenedKey> {
    if (this.isLocal(key.backend)) return await this.#open(domain, key);
    const opening = this.#openings.run(async () => await this.#open(domain, key));
    return await (patience === undefined ? opening : patience.wait(opening));
  }

  async #open(domain: string, key: ManifestKey): Promise<OpenedKey> {
    try {
      const backend = await this.get(key.backend);
      return await backend.open(storedKey(domain, key));
    } catch (error) {
      return { kind: 'unusable', scope: 'backend', reason: errorMessage(error) };
    }
  }
}

function knownError(error: unknown): KeysError {
  if (error instanceof KeysError) return error;
  const code = error instanceof WaxsealError ? error.code : 'key-unusable';
  return new KeysError(code, errorMessage(error), { cause: error });
}
