import assert from 'node:assert/strict';
import dns from 'node:dns';
import { inspect } from 'node:util';
import { type KmsClient, openAwsClient } from '../../../../src/keys/kms/aws-client.ts';
import { KMS_FAULTS, KmsError, type KmsFaultKind } from '../../../../src/keys/kms/kms-fault.ts';
import { KMS_EFFECTS, type KmsEffect } from '../../../support/kms/kms-faults.ts';
import { KmsLab } from '../../../support/kms/kms-lab.ts';
import { SilentListener } from '../../../support/silent-listener.ts';
import { waitFor } from '../../../support/wait-for.ts';

describe('the border to the AWS SDK', () => {
  let lab: KmsLab;
  let client: KmsClient;

  beforeEach(async () => {
    lab = await KmsLab.start();
    client = await openAwsClient({
      region: 'eu-central-1',
      endpoint: lab.server.region().url,
      connections: 10,
    });
  });
  afterEach(async () => {
    client.close();
    await lab.stop();
  });

  const faultOf = async (signal = new AbortController().signal): Promise<KmsError> => {
    try {
      await client.send('DescribeKey', { KeyId: lab.wrappingKey }, signal);
    } catch (error) {
      assert.ok(error instanceof KmsError, inspect(error));
      return error;
    }
    throw new Error('nothing was thrown');
  };

  const error = (type: string, status = 400): KmsEffect => ({ kind: 'error', type, status });
  const rows: readonly (readonly [KmsEffect, KmsFaultKind])[] = [
    [KMS_EFFECTS.throttled, 'throttled'],
    [error('LimitExceededException'), 'other'],
    [KMS_EFFECTS.internal, 'unavailable'],
    [KMS_EFFECTS.dependency, 'unavailable'],
    [KMS_EFFECTS.gateway, 'unavailable'],
    [error('KeyUnavailableException', 500), 'unavailable'],
    [error('ServiceUnavailable', 503), 'unavailable'],
    [error('SomethingNew', 500), 'unavailable'],
    [KMS_EFFECTS.accessDenied, 'access-denied'],
    [KMS_EFFECTS.disabled, 'disabled'],
    [KMS_EFFECTS.pendingDeletion, 'invalid-state'],
    [error('NotFoundException'), 'not-found'],
    [KMS_EFFECTS.wrongContext, 'wrong-context'],
    [error('IncorrectKeyException'), 'wrong-context'],
    [KMS_EFFECTS.badToken, 'credentials'],
    [error('ExpiredTokenException'), 'credentials'],
    [error('ValidationException'), 'other'],
    [error('constructor'), 'other'],
    [KMS_EFFECTS.cut, 'unavailable'],
  ];
  for (const [effect, kind] of rows) {
    const name =
      effect.kind === 'error' ? `${effect.type || 'no JSON'} ${effect.status ?? 400}` : effect.kind;
    it(`takes ${name} for: ${kind}, in one attempt`, async () => {
      lab.server.region().faults.inject(effect);
      const fault = await faultOf();
      assert.equal(fault.kind, kind);
      assert.equal(fault.code, `kms-${kind}`);
      assert.match(fault.message, /^KMS in eu-central-1, DescribeKey: /);
      assert.equal(fault.hint, KMS_FAULTS[kind].hint);
      assert.equal(fault.cause, undefined, 'an SDK error holds the whole answer');
      if (effect.kind === 'error') assert.match(fault.requestId ?? '', /^[0-9a-f-]{36}$/);
      assert.equal(lab.server.calls.length, 1);
    });
  }

  it('takes a refused connection for: unavailable', async () => {
    await lab.server.region().close();
    assert.equal((await faultOf()).kind, 'unavailable');
  });

  it('takes an endpoint of which one address is silent and one refuses for: timeout', async () => {
    const silent = await SilentListener.open('127.0.0.3');
    const { lookup } = dns;
    const addresses = [silent.address, '127.0.0.1'].map((address) => ({ address, family: 4 }));
    const twoAddresses = (_host: string, _options: object, done: (...answer: unknown[]) => void) =>
      done(null, addresses);
    dns.lookup = twoAddresses as never;
    const endpoint = `http://kms.test:${silent.port}`;
    try {
      client = await openAwsClient({ region: 'eu-central-1', endpoint, connections: 1 });
      const fault = await faultOf();
      assert.equal(fault.kind, 'timeout', fault.message);
      assert.match(fault.message, /^KMS in eu-central-1, DescribeKey: ETIMEDOUT/);
    } finally {
      dns.lookup = lookup;
      await silent.close();
    }
  });

  it('takes a wrong date for: clock-skew, and is right the next time', async () => {
    lab.server.region().skewMs = -3_600_000;
    assert.equal((await faultOf()).kind, 'clock-skew');
    const signal = new AbortController().signal;
    const { KeyMetadata } = await client.send('DescribeKey', { KeyId: lab.wrappingKey }, signal);
    assert.equal(KeyMetadata?.Arn, lab.wrappingKey);
  });

  it('ends a call when it is told to, and its connection with it', async () => {
    lab.server.region().faults.inject(KMS_EFFECTS.silence);
    const controller = new AbortController();
    const fault = faultOf(controller.signal);
    await waitFor('the call', () => lab.server.calls.length === 1);
    controller.abort();
    assert.equal((await fault).kind, 'aborted');
  });

  it('uses one connection for calls one after the other', async () => {
    const signal = new AbortController().signal;
    for (let count = 0; count < 5; count += 1) {
      await client.send('DescribeKey', { KeyId: lab.wrappingKey }, signal);
    }
    assert.equal(lab.server.region().connections, 1);
  });

  it('makes control characters of answers harmless', async () => {
    const message = `\u001b[31m${'x'.repeat(10_000)}`;
    lab.server.region().faults.inject({ kind: 'error', type: 'ValidationException', message });
    const fault = await faultOf();
    assert.ok(fault.message.length < 500);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what must not be there
    assert.doesNotMatch(fault.message, /[\u0000-\u001f]/);
  });
});
