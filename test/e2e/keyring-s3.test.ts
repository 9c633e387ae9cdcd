import assert from 'node:assert/strict';
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import type { JournalEntry } from '../../src/keys/store/journal.ts';
import { giveAwsCredentials, s3Place, type TestPlace } from '../support/keyring-stores.ts';
import { type Ministack, startMinistack } from '../support/ministack.ts';
import { requirePeer } from '../support/peers.ts';

/** An S3 that is not ours: the wire format, and that its conditions are the ones we mean. */
describe('keyring in S3, as ministack plays it', function () {
  this.timeout(60_000);
  let ministack: Ministack | undefined;
  let place: TestPlace;
  let client: S3Client;

  before(async function () {
    this.timeout(60_000);
    const hypercorn = requirePeer(this, 'hypercorn');
    ministack = await startMinistack(hypercorn, ['s3']);
    giveAwsCredentials();
    const { endpoint } = ministack;
    client = new S3Client({ endpoint, region: 'eu-central-1', forcePathStyle: true });
    await client.send(new CreateBucketCommand({ Bucket: 'keyring' }));
    place = s3Place(endpoint);
  });
  after(async () => {
    client?.destroy();
    await place?.end();
    await ministack?.close();
  });

  it('loses no change of five writers, and leaves only what the index names', async () => {
    const writers = Array.from({ length: 5 }, () => place.open().store);
    await Promise.all(
      writers.map((store, n) =>
        store.change(async ({ domains }) => ({
          domain: { domain: `d${n}.example`, subdomains: domains.size > 0, keys: [] },
          result: undefined,
        })),
      ),
    );
    const { domains, generation } = await place.open().store.read();
    assert.equal(domains.size, 5);
    assert.equal(generation, 5);
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: 'keyring' }));
    const keys = Contents.map(({ Key = '' }) => Key.replace(/-\d+-[0-9a-f]{12}$/, '')).sort();
    assert.deepEqual(keys, ['waxseal/index', 'waxseal/shards/shard-1', 'waxseal/shards/shard-2']);
  });

  it('looks for news without fetching the index again', async () => {
    const { store } = place.open();
    const before = await store.look();
    const after = await store.look();
    assert.deepEqual(
      after.map((look) => look.kind === 'read' && look.manifest),
      before.map((look) => look.kind === 'read' && look.manifest),
    );
  });

  it('keeps a journal, and reports of relays', async () => {
    const { journal, reports } = place.open();
    const entry = (event: string, domain: string): JournalEntry => ({
      at: '2026-11-21T09:00:00.000Z',
      caller: 'root',
      command: 'x',
      event,
      domain,
    });
    await journal.append(entry('one', 'a.example'));
    await journal.append(entry('two', 'b.example'));
    await journal.append(entry('three', 'a.example'));
    const found: string[] = [];
    for await (const { event } of journal.read({ domain: 'a.example' })) found.push(event);
    assert.deepEqual(found, ['one', 'three']);
    const times = { at: '', goodUntil: '', startedAt: '' };
    const report = { relay: 'r1', host: 'h', version: '1', ...times, generation: 5, keys: [] };
    await reports.write({ ...report, keysMore: 0 });
    assert.deepEqual(await reports.read(), [{ ...report, keysMore: 0 }]);
  });
});
