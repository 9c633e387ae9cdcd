import assert from 'node:assert/strict';
import { type RouteEntry, RouteTable } from '../../../src/relay/route-table.ts';

function route(domains: string[], host: string): RouteEntry {
  const credentials = { user: 'u', password: 'p' };
  return { domains, hosts: [host], port: 587, tls: 'verify', credentials };
}

const MX = { port: 25, tls: 'opportunistic' } as const;

describe('RouteTable', () => {
  const routes = [
    route(['example.com', '.example.com'], 'a.test'),
    route(['.sub.example.com', 'Other.Example'], 'b.test'),
    route(['example.com'], 'never.test'),
  ];

  it('takes the exact domain, else the longest suffix', () => {
    const table = new RouteTable({ routes, smarthost: undefined, mx: MX });
    const expected = {
      'example.com': 'a.test',
      'EXAMPLE.com': 'a.test',
      'x.example.com': 'a.test',
      'sub.example.com': 'a.test',
      'x.sub.example.com': 'b.test',
      'y.x.sub.example.com': 'b.test',
      'other.example': 'b.test',
      'x.other.example': undefined,
      'badexample.com': undefined,
      com: undefined,
      '[192.0.2.1]': undefined,
    };
    for (const [domain, host] of Object.entries(expected)) {
      assert.equal(table.destinationFor(domain).hosts?.[0], host, domain);
    }
  });

  it('hands on all that belongs to the route', () => {
    const table = new RouteTable({ routes, smarthost: undefined, mx: MX });
    assert.deepEqual(table.destinationFor('x.example.com'), {
      key: 'route:example.com',
      domain: 'x.example.com',
      hosts: ['a.test'],
      port: 587,
      tls: 'verify',
      credentials: { user: 'u', password: 'p' },
    });
  });

  it('gives domains of one route one key, and each MX domain its own', () => {
    const table = new RouteTable({ routes, smarthost: undefined, mx: MX });
    const keyOf = (domain: string) => table.destinationFor(domain).key;
    assert.equal(keyOf('x.sub.example.com'), keyOf('other.example'));
    assert.equal(keyOf('Mixed.Test'), 'mx:mixed.test');
    assert.notEqual(keyOf('one.test'), keyOf('two.test'));
  });

  it('falls back to the smarthost, else to the MXs of the domain', () => {
    const smarthost = {
      hosts: ['s.test'],
      port: 465,
      tls: 'encrypt',
      credentials: undefined,
    } as const;
    const withSmarthost = new RouteTable({ routes, smarthost, mx: MX });
    assert.equal(withSmarthost.destinationFor('example.com').hosts?.[0], 'a.test');
    assert.deepEqual(withSmarthost.destinationFor('else.test'), {
      key: 'smarthost',
      domain: 'else.test',
      ...smarthost,
    });
    const without = new RouteTable({ routes: [], smarthost: undefined, mx: MX });
    assert.deepEqual(without.destinationFor('else.test'), {
      key: 'mx:else.test',
      domain: 'else.test',
      hosts: undefined,
      credentials: undefined,
      ...MX,
    });
  });
});
