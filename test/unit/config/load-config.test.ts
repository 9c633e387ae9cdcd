import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WaxsealError } from '../../../src/base/errors.ts';
import { ConfigError } from '../../../src/config/config-error.ts';
import { buildConfig, loadConfig } from '../../../src/config/load-config.ts';
import { build, problemsOf } from './build.ts';

const system = { hostName: 'relay.example.com', temporaryDirectory: '/var/tmp' };

describe('configuration: layers', () => {
  it('is complete without a file', () => {
    const { config, warnings } = buildConfig({ file: undefined, environment: {}, system });
    assert.deepEqual(warnings, []);
    assert.deepEqual(config.listen, ['127.0.0.1:2525']);
    assert.equal(config.server.name, 'relay.example.com');
    assert.equal(config.relay.ehloName, 'relay.example.com');
    assert.equal(config.spool.dir, '/var/tmp');
    assert.equal(config.smarthost, null);
  });

  it('lets the file override defaults and the environment override the file', () => {
    const text = 'limits:\n  sessions: 7\n  hops: 8\n';
    const { config, settings } = build(text, { WAXSEAL_LIMITS_HOPS: '9' });
    assert.equal(config.limits.sessions, 7);
    assert.equal(config.limits.hops, 9);
    const whereOf = (key: string) => settings.find((row) => row.key === key)?.where;
    assert.equal(whereOf('limits.sessions'), 'waxseal.yaml:2');
    assert.equal(whereOf('limits.hops'), 'WAXSEAL_LIMITS_HOPS');
    assert.equal(whereOf('limits.recipients'), 'default');
  });

  it('reads lists, switches, units and records from the environment', () => {
    const { config } = build('', {
      WAXSEAL_LISTEN: '[::1]:25, 127.0.0.1:26',
      WAXSEAL_CLIENTS_ALLOW: '',
      WAXSEAL_CONTENT_ADD_DATE: 'yes',
      WAXSEAL_LIMITS_MESSAGE_BYTES: '10MiB',
      WAXSEAL_RELAY_CONNECT_TIMEOUT_MS: '5s',
      WAXSEAL_SIGNING_EXPIRE_AFTER_S: '7d',
      WAXSEAL_SMARTHOST: '{"hosts": ["out.example.net"], "port": 2525}',
    });
    assert.deepEqual(config.listen, ['[::1]:25', '127.0.0.1:26']);
    assert.deepEqual(config.clients.allow, []);
    assert.equal(config.content.addDate, true);
    assert.equal(config.limits.messageBytes, 10_485_760);
    assert.equal(config.relay.connectTimeoutMs, 5000);
    assert.equal(config.signing.expireAfterS, 604_800);
    assert.deepEqual(config.smarthost, {
      hosts: ['out.example.net'],
      port: 2525,
      tls: 'opportunistic',
      credentials: undefined,
    });
  });

  it('takes a key without a value for one that is not there', () => {
    const { config } = build('tls:\nlimits:\n  sessions:\nsmarthost:\n');
    assert.equal(config.limits.sessions, 2000);
  });

  it('writes domains as A-labels in lower case and fills routes up', () => {
    const text = `
relay: {tls: encrypt}
route:
  - {domains: [EXÄMPLE.com, .Sub.Example.com.], hosts: MX.example.net, tls: }
`;
    assert.deepEqual(build(text).config.route, [
      {
        domains: ['xn--exmple-cua.com', '.sub.example.com'],
        hosts: ['mx.example.net'],
        port: 25,
        tls: 'encrypt',
        credentials: undefined,
      },
    ]);
  });
});

describe('configuration: problems', () => {
  it('tells all of them, with key, place and the name that was probably meant', () => {
    const problems = problemsOf(
      'limits:\n  sesions: 3\n  hops: 0\nsessions: 4\nlisten: nowhere\n',
      { WAXSEAL_DNS_ATTEMPTS: 'many' },
    );
    assert.deepEqual(
      problems.map(({ key, where }) => [key, where]),
      [
        ['limits.sesions', 'waxseal.yaml:2'],
        ['sessions', 'waxseal.yaml:4'],
        ['listen[0]', 'waxseal.yaml:5'],
        ['limits.hops', 'waxseal.yaml:3'],
        ['dns.attempts', 'WAXSEAL_DNS_ATTEMPTS'],
      ],
    );
    assert.match(problems[0]?.message ?? '', /did you mean "limits\.sessions"/);
    assert.match(problems[1]?.message ?? '', /did you mean "limits\.sessions"/);
    assert.match(problems[4]?.message ?? '', /"many"/);
  });

  it('puts every problem into the message of the error', () => {
    assert.throws(
      () => build('a: 1\nb: 2\n'),
      (error) =>
        error instanceof ConfigError &&
        error.code === 'config-invalid' &&
        /waxseal\.yaml:1: a: unknown setting\n.*waxseal\.yaml:2: b: unknown setting/.test(
          error.message,
        ),
    );
  });

  for (const [what, text, line, message] of [
    ['a duplicate key', 'log:\n  level: info\n  level: warn\n', 3, /twice/],
    ['a duplicate section', 'log: {level: info}\nlog: {format: json}\n', 2, /twice/],
    ['an alias', 'listen: &here ["127.0.0.1:25"]\ndns:\n  servers: *here\n', 3, /alias/],
    ['broken YAML', 'log:\n  level: "info\n', 3, /quote/],
    ['a second document', 'log: {level: info}\n---\nlog: {level: warn}\n', 2, /document/],
    ['a foreign tag', 'log: {level: !!js/function x}\n', 1, /tag/],
    ['a value where a section stands', 'limits: 5\n', 1, /section/],
    ['a list as a file', '- 1\n', 1, /section/],
    ['a section where a value stands', 'keys:\n  dir:\n    x: 1\n', 2, /path/],
    ['a section that is none', 'smarthost: mail.example.com\n', 1, /record/],
  ] as const) {
    it(`names the line of ${what}`, () => {
      const [problem] = problemsOf(text);
      assert.equal(problem?.where, `waxseal.yaml:${line}`);
      assert.match(problem?.message ?? '', message);
    });
  }

  it('refuses keys that reach for prototypes, and stays clean', () => {
    const problems = problemsOf(
      '__proto__: {polluted: 1}\nlimits:\n  constructor: {prototype: {polluted: 1}}\nroute:\n  - __proto__: {polluted: 1}\n    domains: [a.example]\n    hosts: [b.example]\n',
    );
    assert.deepEqual(
      problems.map(({ key }) => key),
      ['__proto__', 'constructor', 'prototype', '__proto__'],
    );
    const [problem] = problemsOf('', {
      WAXSEAL_ROUTE:
        '[{"__proto__": {"polluted": 1}, "domains": ["a.example"], "hosts": ["b.example"]}]',
    });
    assert.equal(problem?.key, 'route');
    assert.equal(({} as { polluted?: unknown }).polluted, undefined);
  });

  it('survives a file that is nested without end', () => {
    const problems = problemsOf('['.repeat(20_000));
    assert.ok(problems.length > 0 && problems.length <= 10);
  });

  it('refuses a password in the configuration and does not show it', () => {
    const text =
      'smarthost:\n  hosts: [out.example.net]\n  tls: verify\n  credentials: {user: me, password: hunter2}\n';
    const problems = problemsOf(text);
    assert.equal(problems[0]?.key, 'smarthost.credentials.password');
    assert.equal(problems[0]?.where, 'waxseal.yaml:4');
    assert.match(problems[0]?.message ?? '', /passwordFile/);
    const fromEnvironment = problemsOf('', { WAXSEAL_SMARTHOST: 'out.example.net:hunter2' });
    assert.doesNotMatch(JSON.stringify([problems, fromEnvironment]), /hunter2/);
  });

  it('warns of environment variables that look misspelt, and of no others', () => {
    const { warnings } = build('', {
      WAXSEAL_LIMITS_SESIONS: '3',
      WAXSEAL_CONFIG: 'x',
      WAXSEAL_SERVICE_HOST: '10.0.0.1',
      WAXSEAL_PORT_25_TCP_ADDR: '10.0.0.1',
    });
    assert.deepEqual(
      warnings.map(({ where }) => where),
      ['WAXSEAL_LIMITS_SESIONS'],
    );
    assert.match(warnings[0]?.message ?? '', /did you mean WAXSEAL_LIMITS_SESSIONS/);
  });
});

describe('configuration: files', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waxseal-config-'));
  });
  after(() => rm(folder, { recursive: true }));

  const load = async (content: string | Buffer) => {
    const path = join(folder, 'waxseal.yaml');
    await writeFile(path, content);
    return loadConfig(path, { environment: {}, system });
  };

  it('reads a file', async () => {
    const { config } = await load('log: {level: debug}\n');
    assert.equal(config.log.level, 'debug');
  });

  for (const [what, content, message] of [
    ['too big', `#${'x'.repeat(1024 * 1024)}`, /1048576 octets/],
    ['not UTF-8', Buffer.from('log: {level: \xff}\n', 'latin1'), /UTF-8/],
  ] as const) {
    it(`refuses a file that is ${what}`, async () => {
      await assert.rejects(
        load(content),
        (error) =>
          error instanceof WaxsealError &&
          error.code === 'config-unreadable' &&
          message.test(error.message),
      );
    });
  }

  it('names a file that is not there', async () => {
    await assert.rejects(
      loadConfig(join(folder, 'none.yaml'), { environment: {}, system }),
      (error) =>
        error instanceof WaxsealError &&
        /none\.yaml/.test(error.message) &&
        error.code === 'config-unreadable',
    );
  });
});
