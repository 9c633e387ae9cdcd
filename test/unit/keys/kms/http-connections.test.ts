import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type HttpCall, HttpConnections } from '../../../../src/keys/kms/http-connections.ts';
import { waitFor } from '../../../support/wait-for.ts';

describe('connections for the AWS SDK', () => {
  let server: Server;
  let connections: HttpConnections;
  let answer: (request: IncomingMessage, response: ServerResponse) => void;
  let accepted = 0;

  beforeEach(async () => {
    accepted = 0;
    answer = (_request, response) => response.end('{}');
    server = createServer((request, response) => answer(request, response));
    server.on('connection', () => {
      accepted += 1;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    connections = new HttpConnections({ connections: 2 });
  });
  afterEach(async () => {
    connections.close();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  const call = (parts: Partial<HttpCall> = {}): HttpCall => ({
    protocol: 'http:',
    hostname: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    method: 'POST',
    path: '/',
    headers: { 'x-amz-target': 'TrentService.Sign' },
    body: '{"KeyId":"k"}',
    ...parts,
  });

  it('sends method, path, query, headers and body, and gives the whole answer', async () => {
    let seen: unknown;
    answer = async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part);
      const { method, url, headers } = request;
      seen = [method, url, headers['x-amz-target'], Buffer.concat(parts).toString()];
      response.writeHead(400, { 'x-amzn-requestid': 'r1', 'set-cookie': ['a', 'b'] });
      response.write('{"__type":');
      setImmediate(() => response.end('"X"}'));
    };
    const query = { b: "it's", a: ['1', '2 3'], c: null };
    const { statusCode, headers, body } = await connections.send(call({ query }), undefined);
    assert.deepEqual(seen, [
      'POST',
      '/?a=1&a=2%203&b=it%27s&c',
      'TrentService.Sign',
      '{"KeyId":"k"}',
    ]);
    assert.equal(statusCode, 400);
    assert.equal(headers['x-amzn-requestid'], 'r1');
    assert.equal(headers['set-cookie'], 'a,b');
    assert.equal(Buffer.from(body).toString(), '{"__type":"X"}');
  });

  it('uses connections again, and opens no more than it may', async () => {
    await Promise.all(Array.from({ length: 20 }, () => connections.send(call(), undefined)));
    assert.equal(accepted, 2);
    await connections.send(call(), undefined);
    assert.equal(accepted, 2);
  });

  it('ends a request by its signal, under way or before', async () => {
    answer = () => undefined;
    const controller = new AbortController();
    const ended = connections.send(call(), controller.signal);
    await waitFor('the request', () => accepted === 1);
    controller.abort();
    await assert.rejects(ended, { name: 'AbortError' });
    await assert.rejects(connections.send(call(), controller.signal), { name: 'AbortError' });
  });

  it('gives a request up on which nothing moves', async () => {
    answer = (_request, response) => response.write('{');
    const impatient = new HttpConnections({ connections: 1, idleMs: 20 });
    try {
      await assert.rejects(impatient.send(call(), undefined), { code: 'ETIMEDOUT' });
    } finally {
      impatient.close();
    }
  });

  it('takes no answer without end', async () => {
    answer = (_request, response) => {
      response.on('error', () => undefined);
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      };
      response.on('drain', more);
      more();
    };
    await assert.rejects(connections.send(call(), undefined), { code: 'EMSGSIZE' });
  });

  it('says so when the connection breaks in the middle of an answer', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-length': '10' });
      response.write('{');
      setImmediate(() => response.destroy());
    };
    await assert.rejects(connections.send(call(), undefined), { code: 'ECONNRESET' });
  });
});
