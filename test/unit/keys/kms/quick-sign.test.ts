import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { KMSClient } from '@aws-sdk/client-kms';
import {
  type KmsClient,
  openAwsClient,
  requestSigner,
} from '../../../../src/keys/kms/aws-client.ts';
import { HttpConnections } from '../../../../src/keys/kms/http-connections.ts';
import { KmsError, type KmsFaultKind } from '../../../../src/keys/kms/kms-fault.ts';
import { QuickSign } from '../../../../src/keys/kms/quick-sign.ts';
import { patternOf, requestAfter } from '../../../../src/keys/kms/request-pattern.ts';
import { SECRETS } from '../../../support/kms/fake-kms.ts';
import { KMS_EFFECTS, type KmsEffect } from '../../../support/kms/kms-faults.ts';
import { KmsLab } from '../../../support/kms/kms-lab.ts';
import { expectedSignature } from '../../../support/kms/sigv4.ts';
import { waitFor } from '../../../support/wait-for.ts';

const DIGEST = Buffer.alloc(32, 7);

/** The SDK's, with these credentials. */
function signerWith(credentials: {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}) {
  const { config } = new KMSClient({ region: 'eu-west-1', credentials });
  return async () => requestSigner(await config.signer());
}

describe('signing after the pattern of the SDK', () => {
  let lab: KmsLab;
  let client: KmsClient;
  let arn: string;

  beforeEach(async () => {
    lab = await KmsLab.start();
    const { url } = lab.server.region();
    client = await openAwsClient({ region: 'eu-central-1', endpoint: url, connections: 4 });
    const order = { KeySpec: 'RSA_2048', KeyUsage: 'SIGN_VERIFY' } as const;
    const made = await client.send('CreateKey', order, new AbortController().signal);
    arn = made.KeyMetadata?.Arn ?? '';
  });
  afterEach(async () => {
    client.close();
    await lab.stop();
  });

  const sign = async (signal = new AbortController().signal) =>
    await client.send(
      'Sign',
      {
        KeyId: arn,
        Message: DIGEST,
        MessageType: 'DIGEST',
        SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256',
      },
      signal,
    );
  const faultOf = async (signal?: AbortSignal): Promise<KmsError> => {
    try {
      await sign(signal);
    } catch (error) {
      assert.ok(error instanceof KmsError, inspect(error));
      return error;
    }
    throw new Error('nothing was thrown');
  };

  it('sends what the SDK sends, correctly signed, and gives the same answer', async () => {
    const bySdk = await sign();
    const quick = await sign();
    const inputs = lab.server.calls.slice(-2).map(({ input }) => input);
    assert.deepEqual(inputs[0], inputs[1]);
    assert.deepEqual(Buffer.from(quick.Signature ?? []), Buffer.from(bySdk.Signature ?? []));
    assert.equal(quick.$metadata.httpStatusCode, 200);
    assert.match(quick.$metadata.requestId ?? '', /^[0-9a-f-]{36}$/);
    assert.notEqual(quick.$metadata.requestId, bySdk.$metadata.requestId);
    assert.equal(lab.server.region().connections, 1);
  });

  const error = (type: string, status = 400): KmsEffect => ({ kind: 'error', type, status });
  const rows: readonly (readonly [KmsEffect, KmsFaultKind])[] = [
    [KMS_EFFECTS.throttled, 'throttled'],
    [KMS_EFFECTS.internal, 'unavailable'],
    [KMS_EFFECTS.gateway, 'unavailable'],
    [error('SomethingNew', 500), 'unavailable'],
    [KMS_EFFECTS.accessDenied, 'access-denied'],
    [KMS_EFFECTS.disabled, 'disabled'],
    [KMS_EFFECTS.pendingDeletion, 'invalid-state'],
    [error('com.amazonaws.kms#NotFoundException'), 'not-found'],
    [error('DisabledException:http://internal.example/'), 'disabled'],
    [KMS_EFFECTS.badToken, 'credentials'],
    [error('ValidationException'), 'other'],
    [error('constructor'), 'other'],
    [KMS_EFFECTS.cut, 'unavailable'],
  ];
  for (const [effect, kind] of rows) {
    const name = effect.kind === 'error' ? effect.type || 'no JSON' : effect.kind;
    it(`takes ${name} as it would be taken from the SDK: ${kind}, in one attempt`, async () => {
      lab.server.region().faults.inject(effect, { times: 1, operation: 'Sign' });
      const bySdk = await faultOf();
      await sign();
      lab.server.region().faults.inject(effect, { times: 1, operation: 'Sign' });
      const before = lab.server.count('Sign');
      const quick = await faultOf();
      assert.equal(quick.kind, kind);
      assert.equal(quick.kind, bySdk.kind);
      assert.equal(quick.cause, undefined);
      assert.equal(quick.requestId === undefined, bySdk.requestId === undefined);
      assert.equal(lab.server.count('Sign'), before + 1);
      await sign();
    });
  }

  it('after a wrong date, leaves the correction to the SDK, and is right then', async () => {
    await sign();
    lab.server.region().skewMs = 3_600_000;
    assert.equal((await faultOf()).kind, 'clock-skew');
    assert.equal((await faultOf()).kind, 'clock-skew');
    await sign();
    await sign();
  });

  it('ends a call when it is told to', async () => {
    await sign();
    lab.server.region().faults.inject(KMS_EFFECTS.silence, { times: 1 });
    const before = lab.server.calls.length;
    const controller = new AbortController();
    const fault = faultOf(controller.signal);
    await waitFor('the call', () => lab.server.calls.length === before + 1);
    controller.abort();
    assert.equal((await fault).kind, 'aborted');
    await sign();
  });

  const CALL = {
    protocol: 'http:',
    hostname: '127.0.0.1',
    method: 'POST',
    path: '/',
    headers: {
      host: 'kms.example',
      'content-type': 'application/x-amz-json-1.1',
      'content-length': '2',
      'x-amz-target': 'TrentService.Sign',
      'x-amz-date': '20261126T000000Z',
      authorization: `AWS4-HMAC-SHA256 Credential=AK/20261126/eu-west-1/kms/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-target, Signature=${'0'.repeat(64)}`,
    },
    body: '{}',
  };

  it('signs with the credentials, the session and the day of now', async () => {
    const pattern = patternOf(CALL);
    assert.ok(pattern !== undefined);
    for (const [sessionToken, day] of [
      [undefined, '2026-11-26'],
      ['a token', '2026-11-26'],
      ['another token', '2026-11-27'],
      [undefined, '2026-11-27'],
    ] as const) {
      for (const secretAccessKey of [SECRETS.AKIDEXAMPLE, 'another secret']) {
        const session = sessionToken === undefined ? {} : { sessionToken };
        const signer = signerWith({ accessKeyId: 'AK2', secretAccessKey, ...session });
        const body = '{"KeyId":"ü"}';
        const wallMs = Date.parse(`${day}T12:00:00.5Z`);
        const { headers } = await requestAfter(pattern, body, await signer(), wallMs);
        assert.equal(headers['x-amz-security-token'], sessionToken);
        assert.equal(headers['content-length'], String(Buffer.byteLength(body)));
        assert.equal(headers['x-amz-date'], `${day.replaceAll('-', '')}T120000Z`);
        const found = expectedSignature('POST', '/', headers, body, secretAccessKey);
        assert.equal(found?.accessKeyId, 'AK2');
        assert.equal(found?.given, found?.expected);
        assert.equal(
          headers.authorization?.includes('x-amz-security-token'),
          sessionToken !== undefined,
        );
      }
    }
  });

  it('takes no pattern from a request of another kind', () => {
    assert.equal(patternOf({ ...CALL, method: 'GET' }), undefined);
    assert.equal(patternOf({ ...CALL, path: '/x' }), undefined);
    assert.equal(patternOf({ ...CALL, query: { a: 'b' } }), undefined);
    assert.equal(patternOf({ ...CALL, headers: {} }), undefined);
    const authorization = 'AWS4-ECDSA-P256-SHA256 Credential=AK/20261126/kms/aws4_request';
    assert.equal(patternOf({ ...CALL, headers: { authorization } }), undefined);
  });

  it('is left to the SDK when the pattern is old, or the input unusual', async () => {
    const connections = new HttpConnections({ connections: 1 });
    let nowMs = 0;
    const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: SECRETS.AKIDEXAMPLE };
    const quick = new QuickSign({
      connections,
      signer: signerWith(credentials),
      clockOffsetMs: () => 0,
      nowMs: () => nowMs,
    });
    const { url } = lab.server.region();
    const { hostname, port } = new URL(url);
    const authorization = CALL.headers.authorization.replace('eu-west-1', 'eu-central-1');
    const call = { ...CALL, hostname, port: Number(port) };
    const learnt = { ...call, headers: { ...call.headers, authorization } };
    const answer = { statusCode: 200, headers: {}, body: new Uint8Array() };
    const input = { KeyId: arn, Message: DIGEST, SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256' };
    const usual = { ...input, MessageType: 'DIGEST' } as const;
    const { signal } = new AbortController();
    const signed = async (given = usual) => await quick.sign(given as never, signal);
    assert.equal(await signed(), undefined, 'nothing is known yet');
    quick.learn(learnt, { ...answer, statusCode: 400 });
    quick.learn({ ...learnt, headers: { ...learnt.headers, 'x-amz-target': 'X' } }, answer);
    assert.equal(await signed(), undefined, 'nothing good was learnt');
    quick.learn(learnt, answer);
    assert.equal((await signed())?.Signature?.length, 256);
    assert.equal(await signed({ ...usual, DryRun: true } as never), undefined);
    nowMs = 60_000;
    assert.equal(await signed(), undefined, 'it is old');
    connections.close();
  });
});
