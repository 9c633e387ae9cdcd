import type { Clock } from '../base/clock.ts';
import type { BackendOptions, KeyBackend } from './backend.ts';
import type { BackendName } from './backend-names.ts';
import { BACKENDS } from './backends.ts';
import type { KeyringStore } from './keyring-store.ts';
import { openStore, type StorePlace } from './store/stores.ts';

/** What an operation on the keyring works with. */
export interface KeyringAccess {
  readonly store: KeyringStore;
  readonly clock: Clock;
  connect(name: BackendName, masterKey: BackendOptions['masterKey']): Promise<KeyBackend>;
}

/**
 * Access to a keyring.
 *
 * @param place `keys.dir`, `keys.masterKeyFile`, `keys.store`
 */
export function keyringAccess(
  place: Pick<BackendOptions, 'dir' | 'masterKeyFile'> & StorePlace,
  clock: Clock,
): KeyringAccess {
  return {
    store: openStore(place, clock).store,
    clock,
    connect: (name, masterKey) => BACKENDS[name].connect({ ...place, masterKey }),
  };
}
