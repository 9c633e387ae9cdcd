/**
 * A command line as the tests need it many times at once: takes the lease of a domain, makes its
 * one key if nobody has made it yet, writes that into the journal, and ends. Arguments: keys.dir,
 * domain.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/base/clock.ts';
import { changeUnderLease, takeLease } from '../../src/keys/store/lease.ts';
import { openStore } from '../../src/keys/store/stores.ts';

const [dir = '', domain = ''] = process.argv.slice(2);
const { store, journal, close } = openStore({ dir });
const options = { leaseMs: 60_000, waitMs: 60_000 };
const lease = await takeLease(store, systemClock, domain, `process ${process.pid}`, options);
const isDone = ((await store.read()).domains.get(domain)?.keys.length ?? 0) > 0;
if (!isDone) {
  await journal.append({
    at: new Date().toISOString(),
    caller: String(process.pid),
    command: 'create',
    event: 'key-created',
    domain,
  });
  await sleep(20); // the work takes a while; without the lease, others would begin it meanwhile
  await changeUnderLease(store, lease, domain, async (entry) => {
    const key = {
      selector: 'wx202611e1',
      algorithm: 'ed25519',
      backend: 'file',
      state: 'created',
      publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
      ttlS: 3600,
      createdAt: new Date().toISOString(),
      activatedAt: undefined,
      retiringSince: undefined,
    } as const;
    return { domain: { ...entry, keys: [...entry.keys, key] }, result: undefined };
  });
}
await lease.release();
close();
