import assert from 'node:assert/strict';
import { RotationLab, type RotationLabOptions } from '../support/kms/rotation-lab.ts';

const ROTATE = ['rotate', '--due', '--step', '--json', '--concurrency', '8'] as const;
const WRAP = 'GenerateDataKeyPairWithoutPlaintext';

/** The same with 10,000 domains and AWS's own quotas: `npm run bench -- --only kms:rotation`. */
describe('rotating many domains with keys wrapped by KMS', function () {
  this.timeout(180_000);

  let lab: RotationLab;

  async function start(options: RotationLabOptions, pairsPerSecond: number): Promise<void> {
    lab = await RotationLab.start(options);
    lab.kms.server.region().quotas.overrides.set('pair RSA_2048', pairsPerSecond);
  }
  afterEach(async () => await lab.stop());

  it('asks KMS no faster than the share of its quota, once for each domain', async () => {
    // 25 % of AWS's 20 key pairs a second, and a fifth of a second's at once, is 5 and 1.
    await start({ domains: 100, settings: { quotaShare: 25 } }, 6);
    const { code, out, err } = await lab.run([...ROTATE]);
    assert.equal(code, 0, err);
    const [summary] = out.trim().split('\n').slice(-1);
    assert.deepEqual(JSON.parse(summary ?? ''), {
      summary: { taken: 100, failed: 0, waiting: 0, left: 0, stopped: false },
    });
    const { calls } = lab.kms.server;
    assert.equal(lab.kms.server.region().quotas.throttled, 0);
    assert.equal(lab.kms.server.count(WRAP), 100);
    assert.equal(lab.kms.server.count('Decrypt'), 100, 'each new key is tried once');
    assert.equal(calls.length, 200);
    for (const { domain, keys } of await lab.entries()) {
      const states = keys.map(({ state }) => state);
      assert.deepEqual(states, ['retiring', 'active'], domain);
    }
    const again = await lab.run([...ROTATE]);
    assert.match(again.out, /"taken":0/);
    assert.equal(calls.length, 200);
  });

  it('gets there all the same when others use the quota up', async () => {
    await start({ domains: 24, settings: { quotaShare: 100 } }, 4);
    for (let run = 0; run < 5; run += 1) {
      const { code } = await lab.run([...ROTATE, '--stop-after-failures', '99']);
      if (code === 0) break;
    }
    assert.ok(lab.kms.server.region().quotas.throttled > 0);
    for (const { domain, keys } of await lab.entries()) {
      const states = keys.map(({ state }) => state);
      assert.deepEqual(states, ['retiring', 'active'], domain);
    }
  });
});
