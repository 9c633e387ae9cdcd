import type { Clock } from '../base/clock.ts';
import type { BackendOptions, KeyBackend } from './backend.ts';
import type { BackendName } from './backend-names.ts';
import { BACKENDS } from './backends.ts';
import type { KeyringStore } from './keyring-store.ts';
import type { Journal } from './store/journal.ts';
import type { RelayReport } from './store/relay-reports.ts';
import { openStore, type StorePlace } from './store/stores.ts';

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

/** A keyring with what lies beside it. */
export interface OpenedKeyring extends KeyringAccess {
  readonly journal: Journal;
  /** What relays say; empty where none reports. */
  reports(): Promise<readonly RelayReport[]>;
  /** Ends the connections of its store. */
  close(): void;
}

/**
 * Access to a keyring.
 *
 * @param place `keys.dir`, `keys.masterKeyFile`, `keys.store`, and KMS for keys that are there
 */
export function keyringAccess(
  place: Pick<BackendOptions, 'dir' | 'masterKeyFile' | 'kms'> & StorePlace,
  clock: Clock,
): OpenedKeyring {
  const { store, journal, reports, close } = openStore(place, clock);
  return {
    store,
    journal,
    reports: async () => await reports.read(),
    close,
    clock,
    connect: (name, masterKey, more) => BACKENDS[name].connect({ ...place, ...more, masterKey }),
  };
}
