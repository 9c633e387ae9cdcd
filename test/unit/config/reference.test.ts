import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { redact, renderEffective } from '../../../src/config/render-effective.ts';
import { renderDefaultFile, renderReference } from '../../../src/config/render-reference.ts';
import { environmentName, settings } from '../../../src/config/schema.ts';
import { build } from './build.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));

describe('configuration: what is written about it', () => {
  it('docs/configuration.md is up to date (else: waxseal config docs > docs/configuration.md)', async () => {
    assert.equal(await readFile(`${root}docs/configuration.md`, 'utf8'), renderReference());
  });

  it('config/default.yaml is up to date (else: waxseal config docs --yaml > config/default.yaml)', async () => {
    assert.equal(await readFile(`${root}config/default.yaml`, 'utf8'), renderDefaultFile());
  });

  it('config/default.yaml sets each setting to its default', async () => {
    const written = build(await readFile(`${root}config/default.yaml`, 'utf8'));
    assert.deepEqual(written.config, build('').config);
    const absent = written.settings
      .filter(({ where }) => where === 'default')
      .map(({ key }) => key);
    assert.deepEqual(absent, ['smarthost'], 'null means absent');
  });

  it('every setting has a description, a good default and a variable of its own', () => {
    for (const row of settings) {
      assert.ok(row.doc.length > 20 || row.key === 'listen', row.key);
      assert.deepEqual(row.format.check(row.defaultValue), [], row.key);
      assert.equal(row.env, environmentName(row.key));
    }
    assert.equal(new Set(settings.map((row) => row.env)).size, settings.length);
    assert.equal(environmentName('clients.usersFile'), 'WAXSEAL_CLIENTS_USERS_FILE');
  });

  it('the examples load without a warning', async () => {
    const names = await readdir(`${root}config/examples`);
    assert.deepEqual(names.sort(), ['minimal.yaml', 'smarthost.yaml', 'with-auth.yaml']);
    for (const name of names) {
      const { warnings } = build(await readFile(`${root}config/examples/${name}`, 'utf8'));
      assert.deepEqual(warnings, [], name);
    }
  });

  it('what print shows is a configuration that comes to the same', async () => {
    for (const name of ['minimal', 'smarthost', 'with-auth']) {
      const loaded = build(await readFile(`${root}config/examples/${name}.yaml`, 'utf8'));
      const again = build(renderEffective(loaded.settings));
      assert.deepEqual(again.config, loaded.config, name);
    }
  });

  it('print redacts whatever is called a secret', () => {
    const value = {
      credentials: { user: 'me', password: 'x', passwordFile: 'f' },
      list: [{ apiToken: 'y' }],
    };
    assert.deepEqual(redact(value), {
      credentials: { user: 'me', password: '(redacted)', passwordFile: 'f' },
      list: [{ apiToken: '(redacted)' }],
    });
  });
});
