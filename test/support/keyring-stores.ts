import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Clock } from '../../src/base/clock.ts';
import { systemClock } from '../../src/base/clock.ts';
import type { StoreSetting } from '../../src/config/config.ts';
import { type OpenedStore, openStore, type StorePlace } from '../../src/keys/store/stores.ts';
import { FakeKubernetes } from './kubernetes-api.ts';
import { FakeS3 } from './s3-api.ts';

/** A place for a keyring that a test has to itself. */
export interface TestPlace {
  readonly place: StorePlace;
  /** Opens the store once more, as another process would. */
  open(clock?: Clock): OpenedStore;
  end(): Promise<void>;
}

const SETTINGS: StoreSetting = {
  kind: 'file',
  kubernetes: { server: '', namespace: '', name: 'waxseal-keyring', tokenFile: '', caFile: '' },
  s3: { bucket: 'keyring', prefix: 'waxseal/', region: 'eu-central-1', endpoint: '' },
  timeoutMs: 5000,
  domainsPerShard: 3,
};

/** The SDK looks for credentials in the environment. */
export function giveAwsCredentials(): void {
  process.env.AWS_ACCESS_KEY_ID ??= 'test';
  process.env.AWS_SECRET_ACCESS_KEY ??= 'test';
}

/** @param end what there is to end besides the stores */
export function testPlace(place: StorePlace, end: () => Promise<void>): TestPlace {
  const opened: OpenedStore[] = [];
  return {
    place,
    open: (clock = systemClock) => {
      const store = openStore(place, clock);
      opened.push(store);
      return store;
    },
    end: async () => {
      for (const store of opened) store.close();
      await end();
    },
  };
}

export async function filePlace(): Promise<TestPlace> {
  const root = await mkdtemp(path.join(tmpdir(), 'waxseal-store-'));
  return testPlace({ dir: path.join(root, 'keys') }, async () => {
    await rm(root, { recursive: true, force: true });
  });
}

export function kubernetesSetting(changes: Partial<StoreSetting['kubernetes']>): StoreSetting {
  const kubernetes = { ...SETTINGS.kubernetes, ...changes };
  return { ...SETTINGS, kind: 'kubernetes', kubernetes };
}

export function kubernetesPlace(api: FakeKubernetes, changes = {}): TestPlace {
  const kubernetes = { ...SETTINGS.kubernetes, server: api.url, tokenFile: api.tokenFile };
  const store: StoreSetting = { ...SETTINGS, kind: 'kubernetes', kubernetes, ...changes };
  return testPlace({ dir: '/nowhere', store }, async () => {});
}

export function s3Place(endpoint: string, changes = {}): TestPlace {
  giveAwsCredentials();
  const s3 = { ...SETTINGS.s3, endpoint };
  const store: StoreSetting = { ...SETTINGS, kind: 's3', s3, ...changes };
  return testPlace({ dir: '/nowhere', store }, async () => {});
}

/** Every kind of store, on a fake where it is remote. */
export const KINDS: readonly [string, () => Promise<TestPlace>][] = [
  ['file', filePlace],
  [
    'kubernetes',
    async () => {
      const api = await FakeKubernetes.start();
      const place = kubernetesPlace(api);
      return { ...place, end: () => place.end().then(() => api.stop()) };
    },
  ],
  [
    's3',
    async () => {
      const s3 = await FakeS3.start();
      const place = s3Place(s3.endpoint);
      return { ...place, end: () => place.end().then(() => s3.stop()) };
    },
  ],
];
