import { type Clock, systemClock } from '../../base/clock.ts';
import type { StoreSetting } from '../../config/config.ts';
import type { KeyringSource, KeyringStore } from '../keyring-store.ts';
import { FileJournal } from './file-journal.ts';
import { FileKeyringStore } from './file-store.ts';
import { IndexedKeyringStore } from './indexed-store.ts';
import type { Journal } from './journal.ts';
import { KubernetesClient } from './kubernetes-client.ts';
import { KubernetesPlace } from './kubernetes-place.ts';
import { EntryJournal, SegmentJournal } from './object-journal.ts';
import type { ObjectPlace } from './object-place.ts';
import { FileReports, ObjectReports, type RelayReports } from './relay-reports.ts';
import { S3Place } from './s3-place.ts';

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
  readonly journal: Journal;
  readonly reports: RelayReports;
  /** Ends its connections. */
  close(): void;
}

/** One row: everything about a kind of store. */
interface StoreRow {
  /** @throws KeysError `keyring-store` for settings that cannot work */
  open(dir: string, settings: StoreSetting, clock: Clock): OpenedStore;
}

/** The rows; a new store is one more. */
const STORES: Readonly<Record<StoreSetting['kind'], StoreRow>> = {
  file: { open: (dir, _settings, clock) => openFiles(dir, clock) },
  kubernetes: {
    open: (_dir, settings, clock) => {
      const { kubernetes, timeoutMs } = settings;
      const client = new KubernetesClient({ ...kubernetes, timeoutMs, clock });
      const place = new KubernetesPlace(client, kubernetes);
      return { ...onPlace(place, settings, clock), journal: new SegmentJournal(place, clock) };
    },
  },
  s3: {
    open: (_dir, settings, clock) => {
      const place = new S3Place(settings);
      return { ...onPlace(place, settings, clock), journal: new EntryJournal(place) };
    },
  },
};

function openFiles(dir: string, clock: Clock): OpenedStore {
  return {
    store: new FileKeyringStore(dir, clock),
    journal: new FileJournal(dir),
    reports: new FileReports(dir),
    close: () => {},
  };
}

function onPlace(
  place: ObjectPlace,
  { domainsPerShard }: StoreSetting,
  clock: Clock,
): Omit<OpenedStore, 'journal'> {
  return {
    store: new IndexedKeyringStore({ place, clock, domainsPerShard }),
    reports: new ObjectReports(place),
    close: () => place.close(),
  };
}

/**
 * Opens the store of a place. Nothing is read yet.
 *
 * @throws KeysError `keyring-store` for settings that cannot work
 */
export function openStore({ dir, store }: StorePlace, clock: Clock = systemClock): OpenedStore {
  if (store === undefined) return openFiles(dir, clock);
  return STORES[store.kind].open(dir, store, clock);
}
