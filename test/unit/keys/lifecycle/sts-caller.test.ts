import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { stsCaller, stsPlace } from '../../../../src/keys/lifecycle/sts-caller.ts';

const ARN = 'arn:aws:sts::111122223333:assumed-role/waxseal-operator/me';
const ANSWER = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<GetCallerIdentityResult><Arn>${ARN}</Arn><UserId>X:me</UserId><Account>111122223333</Account>
</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>`;

describe('the caller that AWS names', () => {
  const names = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_EC2_METADATA_DISABLED'];
  let before: readonly (string | undefined)[];
  let server: Server;
  let answer: { status: number; body: string } | undefined;

  beforeEach(async () => {
    before = names.map((name) => process.env[name]);
    for (const name of names) process.env[name] = 'true';
    server = createServer((request, response) => {
      request.resume();
      if (answer === undefined) return;
      response.writeHead(answer.status, { 'content-type': 'text/xml' });
      response.end(answer.body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    names.forEach((name, index) => {
      const value = before[index];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    });
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  const ask = async (timeoutMs: number) => {
    const { port } = server.address() as AddressInfo;
    const endpoint = `http://127.0.0.1:${port}`;
    return await stsCaller({ region: 'eu-central-1', endpoint, timeoutMs });
  };

  it('is an ARN', async () => {
    answer = { status: 200, body: ANSWER };
    assert.equal(await ask(15_000), ARN);
  });

  it('is nobody when AWS refuses or is silent', async () => {
    answer = { status: 403, body: '<ErrorResponse><Error><Code>X</Code></Error></ErrorResponse>' };
    assert.equal(await ask(15_000), undefined);
    answer = undefined;
    assert.equal(await ask(50), undefined);
  });

  it('is asked for where KMS is at home, and at the address of an emulator', () => {
    const regions = ['eu-west-1', 'eu-central-1'];
    const at = (...endpoints: string[]) => stsPlace({ regions, endpoints });
    assert.deepEqual(at(), { region: 'eu-west-1' });
    assert.deepEqual(at('https://vpce-1.kms.eu-west-1.vpce.amazonaws.com'), {
      region: 'eu-west-1',
    });
    const emulator = 'http://127.0.0.1:4566';
    assert.deepEqual(at(emulator), { region: 'eu-west-1', endpoint: emulator });
    assert.deepEqual(at(`eu-central-1=${emulator}`), { region: 'eu-west-1' });
    assert.deepEqual(stsPlace(undefined), { region: undefined });
  });
});
