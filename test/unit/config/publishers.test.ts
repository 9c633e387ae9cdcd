import assert from 'node:assert/strict';
import { build, problemsOf } from './build.ts';

describe('configuration: publishers', () => {
  it('are rows by domain', () => {
    const { config } = build(`
publishers:
  - { domains: [Example.COM, .example.net], kind: rfc2136, server: "192.0.2.53", keyName: Key., keyFile: secrets/tsig, zone: _domainkey.Example.com. }
  - { domains: ["*"], kind: route53, hostedZoneId: Z0123456789ABC, endpoint: "http://127.0.0.1:4566", slotsUnder: keys.example.org }
dns: { hints: [{ zone: ., servers: ["127.0.0.1:5353"] }] }
`);
    assert.deepEqual(config.publishers, [
      {
        domains: ['example.com', '.example.net'],
        kind: 'rfc2136',
        server: '192.0.2.53',
        keyName: 'key',
        keyFile: 'secrets/tsig',
        zone: '_domainkey.example.com',
      },
      {
        domains: ['*'],
        kind: 'route53',
        hostedZoneId: 'Z0123456789ABC',
        endpoint: 'http://127.0.0.1:4566',
        slotsUnder: 'keys.example.org',
      },
    ]);
    assert.deepEqual(config.dns.hints, [{ zone: '.', servers: ['127.0.0.1:5353'] }]);
  });

  it('are refused with what is missing, and with what belongs to another kind', () => {
    const messages = (row: string) =>
      problemsOf(`publishers: [${row}]`).map(({ message }) => message);
    assert.match(messages('{ domains: [a.example], kind: rfc2136 }').join(), /server is missing/);
    assert.match(messages('{ domains: [a.example], kind: route53 }').join(), /hostedZoneId is/);
    assert.match(
      messages('{ domains: [a.example], kind: print, keyFile: x }').join(),
      /no meaning with kind: print/,
    );
    assert.match(messages('{ domains: [a.example], kind: ftp }').join(), /print, rfc2136/);
    assert.match(messages('{ domains: [], kind: print }').join(), /at least 1/);
    assert.match(messages('{ domains: [a..b], kind: print }').join(), /domain name/);
    assert.match(
      messages('{ domains: [a.example], kind: print, secret: x }').join(),
      /unknown key/,
    );
    const url =
      '{ domains: [a.example], kind: route53, hostedZoneId: Z, endpoint: "http://u:p@h" }';
    assert.match(messages(url).join(), /without user/);
    assert.ok(!messages(url).join().includes('u:p'));
  });
});
