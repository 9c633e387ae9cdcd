import { type Clock, systemClock } from '../../base/clock.ts';
import type { StoreSetting } from '../../config/config.ts';
import type { KeyringSource, KeyringStore } from '../keyring-store.ts';
import { KeysError } from '../keys-error.ts';
import { FileKeyringStore } from './file-store.ts';

/** Where a keyring lies. */
export interface StorePlace {
  /** `keys.dir` */
  readonly dir: string;
  /** `keys.store`; default: files in `dir`. */
  readonly store?: StoreSetting;
}

/** A keyring store at work, with what lies beside it. */
export interface OpenedStore {
  readonly store: KeyringStore & KeyringSource;
  close(): void;
}

/** One row: everything about a kind of store. */
interface StoreRow {
  open(place: StorePlace, clock: Clock): OpenedStore;
}

/** The rows; a new store is one more. */
const STORES: Readonly<Record<StoreSetting['kind'], StoreRow>> = {
  file: {
    open: ({ dir }, clock) => ({ store: new FileKeyringStore(dir, clock), close: () => {} }),
  },
  kubernetes: {
    open: () => {
      throw new KeysError('keyring-store', 'kubernetes');
    },
  },
  s3: {
    open: () => {
      throw new KeysError('keyring-store', 's3');
    },
  },
};

/** Opens the store of a place. Nothing is read yet. */
export function openStore(place: StorePlace, clock: Clock = systemClock): OpenedStore {
  return STORES[place.store?.kind ?? 'file'].open(place, clock);
}
