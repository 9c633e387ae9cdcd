import assert from 'node:assert/strict';
import { arnIn, parseKmsArn } from '../../../../src/keys/kms/kms-arn.ts';
import { endpointFor } from '../../../../src/keys/kms/kms-settings.ts';

const MRK = `arn:aws:kms:eu-central-1:111122223333:key/mrk-${'0a'.repeat(16)}`;
const SINGLE =
  'arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab';

describe('KMS key ARNs', () => {
  it('say Region, account, key and whether it is a multi-Region key', () => {
    assert.deepEqual(parseKmsArn(MRK), {
      region: 'eu-central-1',
      account: '111122223333',
      keyId: `mrk-${'0a'.repeat(16)}`,
      multiRegion: true,
    });
    assert.equal(parseKmsArn(SINGLE)?.multiRegion, false);
  });

  it('are of keys only: no alias, no id, nothing around them', () => {
    for (const text of [
      '',
      '1234abcd-12ab-34cd-56ef-1234567890ab',
      'arn:aws:kms:eu-central-1:111122223333:alias/dkim',
      `${MRK} `,
      `${MRK}\n`,
      MRK.replace('kms', 's3'),
      MRK.replace('1111', '1'),
    ]) {
      assert.equal(parseKmsArn(text), undefined, text);
    }
  });

  it('move to another Region', () => {
    assert.equal(arnIn(MRK, 'eu-west-1'), MRK.replace('eu-central-1', 'eu-west-1'));
  });
});

describe('KMS endpoints', () => {
  it("a Region's own counts before the one for all, and AWS's is the default", () => {
    const endpoints = ['http://127.0.0.1:1', 'eu-west-1=http://127.0.0.1:2'];
    assert.equal(endpointFor('eu-west-1', endpoints), 'http://127.0.0.1:2');
    assert.equal(endpointFor('eu-central-1', endpoints), 'http://127.0.0.1:1');
    assert.equal(endpointFor('eu-central-1', endpoints.slice(1)), undefined);
  });
});
