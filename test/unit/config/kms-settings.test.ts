import assert from 'node:assert/strict';
import { build, problemsOf } from './build.ts';

const ARN = 'arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

describe('configuration: kms', () => {
  it('has defaults that ask nothing of AWS', () => {
    const { kms } = build('').config;
    assert.deepEqual([kms.regions, kms.endpoints, kms.wrappingKey], [[], [], '']);
    assert.equal(kms.quotaShare, 50);
    assert.equal(kms.maxWaiting, 1000);
    assert.equal(kms.attemptTimeoutMs, 12_000);
    assert.equal(kms.totalTimeoutMs, 30_000);
    assert.equal(kms.fallback, false);
  });

  it('reads Regions, endpoints and the wrapping key, from the environment too', () => {
    const written = build(
      'kms:\n  regions: [eu-central-1, us-gov-west-1]\n  endpoints: [eu-central-1=https://vpce.example.com]\n',
      { WAXSEAL_KMS_WRAPPING_KEY: ARN, WAXSEAL_KMS_QUOTAS_RSA_PER_SECOND: '500' },
    );
    const { kms } = written.config;
    assert.deepEqual(kms.regions, ['eu-central-1', 'us-gov-west-1']);
    assert.deepEqual(kms.endpoints, ['eu-central-1=https://vpce.example.com']);
    assert.equal(kms.wrappingKey, ARN);
    assert.deepEqual(kms.quotas, { rsaPerSecond: 500, eccPerSecond: 1000 });
  });

  for (const [setting, wrong] of [
    ['regions', '[Frankfurt]'],
    ['regions', '[eu-central-1a]'],
    ['endpoints', '[vpce.example.com]'],
    ['endpoints', '[frankfurt=https://vpce.example.com]'],
    ['endpoints', '["https://user:secret@vpce.example.com"]'],
    ['endpoints', '["ftp://vpce.example.com"]'],
    ['wrappingKey', 'alias/dkim'],
    ['wrappingKey', ARN.replace('key/', 'alias/')],
    ['wrappingKey', `"${ARN} "`],
    ['quotaShare', '0'],
    ['quotaShare', '101'],
    ['deletionWindowDays', '6'],
  ] as const) {
    it(`refuses ${setting}: ${wrong}`, () => {
      const [problem, ...others] = problemsOf(`kms:\n  ${setting}: ${wrong}\n`);
      assert.deepEqual(others, []);
      assert.match(JSON.stringify(problem), new RegExp(`kms\\.${setting}`));
      assert.doesNotMatch(JSON.stringify(problem), /user:secret/);
    });
  }
});
