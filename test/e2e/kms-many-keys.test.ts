import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { keyAlgorithmNamed } from '../../src/keys/key-algorithm.ts';
import { KmsMailLab } from '../support/kms/kms-mail-lab.ts';
import { waitFor } from '../support/wait-for.ts';

const DOMAINS = 160;

describe('a relay with more wrapped keys than are decrypted in a moment', function () {
  this.timeout(60_000);

  let lab: KmsMailLab;

  beforeEach(async () => {
    lab = await KmsMailLab.start();
    await writeManifest();
  });
  afterEach(async () => await lab.stop());

  const domainOf = (number: number) => `d${number}.many.test`;

  /** One key pair, wrapped for each domain. */
  async function writeManifest(): Promise<void> {
    const algorithm = keyAlgorithmNamed('ed25519');
    assert.ok(algorithm !== undefined);
    const backend = await lab.kms.connect('kms-envelope');
    const { publicKey, privateKey } = await algorithm.generate();
    const octets = algorithm.recordOctets(publicKey).toString('base64');
    const domains: Record<string, unknown> = {};
    for (let number = 0; number < DOMAINS; number += 1) {
      const domain = domainOf(number);
      const identity = { domain, selector: 's', algorithm: algorithm.name };
      const { material } = await backend.keep(identity, privateKey);
      const key = {
        selector: identity.selector,
        algorithm: identity.algorithm,
        backend: 'kms-envelope',
        state: 'active',
        publicKey: octets,
        ttlS: 3600,
        createdAt: '2026-11-21T09:00:00Z',
        activatedAt: '2026-11-21T09:00:00Z',
        material,
      };
      domains[domain] = { subdomains: false, keys: [key] };
    }
    const file = join(lab.mail.waxseal.dir, 'keys', 'many.yaml');
    await writeFile(file, stringify({ version: 1, generation: 9, domains }, { lineWidth: 0 }));
  }

  it('begins with those that it has, answers 451 for the others, and comes to have them all', async () => {
    const { server } = lab.kms;
    server.region().faults.inject({ kind: 'latency', ms: 1000 }, { operation: 'Decrypt' });
    await lab.restart();
    assert.ok(server.count('Decrypt') < DOMAINS, 'it waited for all of them');
    assert.match(await lab.send('file.test'), /^250/);
    assert.match(await lab.send(domainOf(0)), /^250/);
    assert.match(await lab.send(domainOf(DOMAINS - 1)), /^451 4\.7\.5/);
    assert.ok(lab.alerts.some((text) => /more wrapped keys than can be decrypted/.test(text)));
    server.region().faults.clear();
    await lab.sendUntilAccepted(domainOf(DOMAINS - 1));
    await waitFor('the end of the queue', () =>
      lab.alerts.some((text) =>
        /^\d+ wrapped keys were decrypted meanwhile, 0 were not/.test(text),
      ),
    );
    assert.equal(server.count('Decrypt'), DOMAINS, 'each once');
    const unsigned = lab.contents.filter((content) => !/^DKIM-Signature:/im.test(content));
    assert.deepEqual(unsigned, []);
  });
});
