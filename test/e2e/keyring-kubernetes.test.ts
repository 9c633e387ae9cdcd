import assert from 'node:assert/strict';
import { join } from 'node:path';
import { createMasterKey } from '../../src/keys/master-key.ts';
import { startDns } from '../support/dns.ts';
import { freePort } from '../support/free-port.ts';
import { FakeKubernetes } from '../support/kubernetes-api.ts';
import { startMx } from '../support/mx.ts';
import { RawClient } from '../support/raw-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { Waxseal } from '../support/waxseal.ts';

const MESSAGE = Buffer.from('From: a@signer.test\r\nSubject: hello\r\n\r\nbody\r\n');

describe('waxseal with its keyring in ConfigMaps', function () {
  this.timeout(60_000);

  it('signs with what a command put there, in the same session, and reports', async () => {
    const api = await FakeKubernetes.start();
    const mxPort = await freePort();
    const mx = await startMx({}, { host: '127.0.1.1', port: mxPort });
    const dns = await startDns({
      'sink.test': { MX: [[10, 'mx.sink.test']] },
      'mx.sink.test': { A: ['127.0.1.1'] },
    });
    const kubernetes = { server: api.url, tokenFile: api.tokenFile, caFile: '' };
    const waxseal = await Waxseal.prepare({
      dns: { servers: [dns.server] },
      relay: { port: mxPort, allowPrivate: true },
      keys: { masterKeyFile: 'master.key', store: { kind: 'kubernetes', kubernetes } },
    });
    try {
      await createMasterKey(join(waxseal.dir, 'master.key'));
      await waxseal.makeKeys('other.test');
      await waxseal.serve();
      const client = await RawClient.session(waxseal.port);
      const send = () => client.send('a@signer.test', ['a@sink.test'], MESSAGE);
      assert.match(await send(), /^550 5\.7\.1 /);
      await waxseal.makeKeys('signer.test');
      await waitFor('the new domain', async () => /^250 /.test(await send()));
      const report = api.names.find((name) => name.includes('-relay-')) ?? '';
      const index = api.names
        .map((name) => api.text(name))
        .find((text) => text.includes('-index-'));
      const { generation } = JSON.parse(index ?? '{}');
      assert.ok(generation > 1);
      await waitFor('the report', () => JSON.parse(api.text(report)).generation === generation);
      client.close();
      assert.equal(await waxseal.end(), 0);
      assert.deepEqual(
        api.names.filter((name) => name.includes('-relay-')),
        [],
      );
    } finally {
      await waxseal.stop();
      await mx.close();
      await dns.close();
      await api.stop();
    }
  });
});
