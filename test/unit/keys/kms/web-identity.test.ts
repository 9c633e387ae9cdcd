import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { openAwsClient } from '../../../../src/keys/kms/aws-client.ts';
import { expectedSignature } from '../../../support/kms/sigv4.ts';

interface Seen {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** IRSA: https://docs.aws.amazon.com/eks/latest/userguide/iam-roles-for-service-accounts.html */
describe("credentials of the SDK's chain, from STS by a web identity", () => {
  const before = { ...process.env };
  let dir: string;
  let sts: Server;
  let kms: Server;
  let stsCalls: Seen[];
  let kmsCalls: Seen[];
  let lifetimeMs: number;

  const listen = async (
    answer: (seen: Seen) => { readonly type: string; readonly body: string },
  ) => {
    const server = createServer(async (request, response) => {
      const seen = { headers: request.headers, body: await text(request) };
      const { type, body } = answer(seen);
      response.writeHead(200, { 'content-type': type });
      response.end(body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'waxseal-sts-'));
    await writeFile(join(dir, 'token'), 'the token of the pod');
    stsCalls = [];
    kmsCalls = [];
    sts = await listen((seen) => {
      stsCalls.push(seen);
      const number = stsCalls.length;
      const expiration = new Date(Date.now() + lifetimeMs).toISOString();
      return {
        type: 'text/xml',
        body: `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AK${number}</AccessKeyId><SecretAccessKey>secret ${number}</SecretAccessKey><SessionToken>session ${number}</SessionToken><Expiration>${expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
      };
    });
    kms = await listen((seen) => {
      kmsCalls.push(seen);
      return { type: 'application/x-amz-json-1.1', body: '{"Signature":"AAAA"}' };
    });
    for (const name of Object.keys(process.env)) {
      if (name.startsWith('AWS_')) delete process.env[name];
    }
    Object.assign(process.env, {
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ROLE_ARN: 'arn:aws:iam::111122223333:role/relay',
      AWS_WEB_IDENTITY_TOKEN_FILE: join(dir, 'token'),
      AWS_ENDPOINT_URL_STS: urlOf(sts),
    });
  });
  afterEach(async () => {
    for (const name of Object.keys(process.env)) {
      if (name.startsWith('AWS_')) delete process.env[name];
    }
    Object.assign(process.env, before);
    for (const server of [sts, kms]) {
      server.close();
      server.closeAllConnections();
    }
    await rm(dir, { recursive: true });
  });

  async function signTimes(count: number): Promise<void> {
    const endpoint = urlOf(kms);
    const client = await openAwsClient({ region: 'eu-central-1', endpoint, connections: 2 });
    try {
      for (let call = 0; call < count; call += 1) {
        const input = {
          KeyId: 'k',
          Message: Buffer.alloc(32),
          MessageType: 'DIGEST',
          SigningAlgorithm: 'RSASSA_PKCS1_V1_5_SHA_256',
        } as const;
        const { Signature } = await client.send('Sign', input, new AbortController().signal);
        assert.equal(Signature?.length, 3);
      }
    } finally {
      client.close();
    }
  }

  const signersOf = (calls: readonly Seen[]) =>
    calls.map(({ headers, body }) => {
      const session = String(headers['x-amz-security-token']);
      const secret = session.replace('session', 'secret');
      const found = expectedSignature('POST', '/', headers, body, secret);
      assert.equal(found?.given, found?.expected);
      return `${found?.accessKeyId} ${session}`;
    });

  it('sign every call, and are asked for once as long as they are good', async () => {
    lifetimeMs = 3_600_000;
    await signTimes(3);
    assert.equal(stsCalls.length, 1);
    const asked = new URLSearchParams(stsCalls[0]?.body);
    assert.equal(asked.get('Action'), 'AssumeRoleWithWebIdentity');
    assert.equal(asked.get('WebIdentityToken'), 'the token of the pod');
    assert.deepEqual(signersOf(kmsCalls), ['AK1 session 1', 'AK1 session 1', 'AK1 session 1']);
  });

  it('are renewed before they end, also for calls that the SDK does not make itself', async () => {
    lifetimeMs = 1000;
    await signTimes(3);
    const signers = signersOf(kmsCalls);
    assert.equal(signers.length, 3);
    assert.ok(new Set(signers).size > 1, signers.join(', '));
  });
});
