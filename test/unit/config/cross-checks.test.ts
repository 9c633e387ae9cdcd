import assert from 'node:assert/strict';
import { build, problemsOf } from './build.ts';

describe('configuration: settings that do not fit together', () => {
  for (const [key, text, message] of [
    ['tls.keyFile', 'tls: {keyFile: key.pem}', /needs tls\.certFile/],
    ['tls.certFile', 'tls: {certFile: cert.pem}', /needs tls\.keyFile/],
    ['tls.clientCaFile', 'tls: {clientCaFile: ca.pem}', /needs tls\.certFile/],
    ['clients.usersFile', 'clients: {usersFile: users}', /needs tls\.certFile/],
    ['clients.certificateNames', 'clients: {certificateNames: [a]}', /needs tls\.clientCaFile/],
    ['smarthost.hosts', 'smarthost: {hosts: []}', /at least 1/],
    ['smarthost', 'smarthost: {port: 25}', /hosts is missing/],
    [
      'smarthost.tls',
      'smarthost: {hosts: [a.b], credentials: {user: u, passwordFile: f}}',
      /only under TLS/,
    ],
    [
      'route[0].tls',
      'route: [{domains: [a.b], hosts: [c.d], tls: none, credentials: {user: u, passwordFile: f}}]',
      /only under TLS/,
    ],
    ['relay.rcptBudgetMs', 'relay: {rcptBudgetMs: 300000}', /299999/],
    ['relay.dataBudgetMs', 'relay: {dataBudgetMs: 120000}', /119999/],
    ['relay.finalDotBudgetMs', 'relay: {finalDotBudgetMs: 600000}', /599999/],
    ['spool.waitMs', 'spool: {waitMs: 180000}', /179999/],
    ['listen', 'listen: ["0.0.0.0:25", "[::]:587", "0.0.0.0:587"]', /IPv4 too.*0\.0\.0\.0:587/],
    ['limits.messageBytes', 'spool: {diskBytes: 0, memoryBytes: 1MiB}', /can hold/],
    ['limits.headerBytes', 'limits: {messageBytes: 2048}', /limits\.messageBytes/],
    [
      'signing.headers.alwaysOversigned',
      'signing: {headers: {alwaysOversigned: [To]}}',
      /must have From/,
    ],
    [
      'signing.headers.signedIfPresent[0]',
      'signing: {headers: {signedIfPresent: [received]}}',
      /never signed/,
    ],
    [
      'signing.headers.oversignedIfPresent[1]',
      'signing: {headers: {oversignedIfPresent: [Sender, ARC-Seal]}}',
      /never signed/,
    ],
    ['signing.unmatched', 'signing: {unmatched: "fallback:"}', /fallback:DOMAIN/],
    ['dns.servers[0]', 'dns: {servers: [ns.example.com]}', /IP address/],
    [
      'dns.hints[0].servers[2]',
      'dns: {hints: [{zone: a.test, servers: ["[::1]:5301", "192.0.2.1", "[0:0::1]:5302"]}]}',
      /::1 stands there already, with port 5301: a name server has one port/,
    ],
    [
      'dns.hints[2].zone',
      'dns: {hints: [{zone: a.test, servers: [192.0.2.1]}, {zone: b.test, servers: [192.0.2.1]}, {zone: A.test., servers: [192.0.2.2]}]}',
      /a\.test has a hint already: put all its servers into dns\.hints\[0\]/,
    ],
    ['keys.store.s3.bucket', 'keys: {store: {kind: s3}}', /is needed/],
    [
      'keys.store.kubernetes.server',
      'keys: {store: {kind: kubernetes, kubernetes: {server: kubernetes}}}',
      /https:/,
    ],
    ['keys.store.kubernetes.name', 'keys: {store: {kubernetes: {name: My_Ring}}}', /lower case/],
    ['keys.maxStaleMs', 'keys: {watchMs: 1m, maxStaleMs: 2m}', /three times/],
  ] as const) {
    it(`${text} is an error of ${key}`, () => {
      const problems = problemsOf(text);
      assert.deepEqual(
        problems.map((problem) => problem.key),
        [key],
      );
      assert.match(problems[0]?.message ?? '', message);
      assert.equal(
        problems[0]?.where.startsWith('waxseal.yaml:') || problems[0]?.where === 'default',
        true,
      );
    });
  }

  for (const [key, text, message] of [
    ['clients.allow[0]', 'clients: {allow: [0.0.0.0/0]}', /open relay: everybody may/],
    ['clients.allow[1]', 'clients: {allow: [127.0.0.1, "::/0"]}', /open relay/],
    ['clients.allow[0]', 'clients: {allow: [198.51.0.0/16]}', /everybody in 198\.51\.0\.0\/16/],
    ['clients.allow[0]', 'clients: {allow: [10.0.0.0/7]}', /open relay/],
    ['clients.allow[0]', 'clients: {allow: ["::ffff:0.0.0.0/96"]}', /open relay/],
    ['relay.ehloName', 'relay: {ehloName: mail}', /fully qualified/],
    ['server.name', 'server: {name: mail}\nrelay: {ehloName: mail.example.com}', /fully qualified/],
    ['drain.timeoutMs', 'drain: {timeoutMs: 1000}', /outcome/],
    ['dns.timeoutMs', 'dns: {timeoutMs: 60s, attempts: 5}', /one lookup/],
    [
      'relay.connectTimeoutMs',
      'relay: {connectTimeoutMs: 200s, rcptBudgetMs: 100s}',
      /dead address/,
    ],
    ['limits.sessionsPerClient', 'limits: {sessions: 10}', /limits\.sessions/],
    ['keys.masterKeyFile', 'keys: {dir: /k, masterKeyFile: /k/master.key}', /inside keys\.dir/],
    [
      'keys.store.kubernetes.server',
      'keys: {store: {kind: kubernetes, kubernetes: {server: "http://a.b"}}}',
      /plain HTTP/,
    ],
    ['route[0].hosts', 'route: [{domains: [a.b], hosts: [192.0.2.1], tls: verify}]', /IP address/],
  ] as const) {
    it(`${text} is a warning of ${key}`, () => {
      const { warnings } = build(text);
      assert.deepEqual(
        warnings.map((problem) => problem.key),
        [key],
      );
      assert.match(warnings[0]?.message ?? '', message);
    });
  }

  it('says nothing of private networks and of small public ones', () => {
    const allow =
      '[10.0.0.0/8, 172.16.0.0/12, 192.168.1.0/24, 192.0.2.0/24, "fd00::/8", "2001:db8:1::/48", 203.0.113.7]';
    assert.deepEqual(build(`clients: {allow: ${allow}}`).warnings, []);
  });
});
