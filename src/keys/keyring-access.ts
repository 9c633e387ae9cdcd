import type { Clock } from '../base/clock.ts';
import type { BackendOptions, KeyBackend } from './backend.ts';
import type { BackendName } from './backend-names.ts';
import { BACKENDS } from './backends.ts';
import { FileKeyringStore, type KeyringStore } from './keyring-store.ts';

/** What an operation on the keyring works with. */
export interface KeyringAccess {
  readonly store: KeyringStore;
  readonly clock: Clock;
  connect(
    name: BackendName,
    masterKey: BackendOptions['masterKey'],
    more?: Partial<BackendOptions>,
  ): Promise<KeyBackend>;
}

/**
 * Access to a keyring on disk.
 *
 * @param place `keys.dir` and `keys.masterKeyFile`
 */
export function keyringAccess(
  place: Pick<BackendOptions, 'dir' | 'masterKeyFile'>,
  clock: Clock,
): KeyringAccess {
  return {
    store: new FileKeyringStore(place.dir, clock),
    clock,
    connect: (name, masterKey, more) => BACKENDS[name].connect({ ...place, ...more, masterKey }),
  };
}
