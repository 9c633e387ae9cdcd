import type { LabServer } from '../../../support/dns-lab.ts';

/** A small world of zones, each with something about it that the check has to notice. */

export const KEY = {
  algorithm: 'ed25519',
  publicKey: '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=',
};
export const TXT = `TXT "v=DKIM1; k=ed25519; h=sha256; p=${KEY.publicKey}"`;
export const OTHER = 'TXT "v=DKIM1; k=ed25519; p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="';

export const ROOT = `
@ IN NS ns
ns IN A 127.0.0.1
test. IN NS ns.test.
ns.test. IN A 127.0.0.1`;
export const NS = `
@ IN NS ns1
@ IN NS ns2
ns1 IN A 127.0.0.2
ns2 IN A 127.0.0.3`;
export const delegation = (zone: string) => `
${zone} IN NS ns1.${zone}
${zone} IN NS ns2.${zone}
ns1.${zone} IN A 127.0.0.2
ns2.${zone} IN A 127.0.0.3`;

const MANY = Array.from({ length: 25 }, (_, n) => `h${n + 10}.good`);
export const RSA4096 = { algorithm: 'rsa4096', publicKey: `${'A'.repeat(734)}==` };
const LARGE = `TXT "v=DKIM1; k=rsa; p=" "${'A'.repeat(250)}" "${'A'.repeat(250)}" "${'A'.repeat(234)}=="`;

const ZONES = [
  'good',
  'half',
  'mixed',
  'wildcname',
  'chain',
  'big',
  'view',
  'late',
  'alone',
  'wild',
  'star',
  'cust',
  'prov',
  'dup',
  'stale',
  'loop',
];
const TEST = `
@ IN NS ns
ns IN A 127.0.0.1
${ZONES.map((zone) => delegation(zone)).join('\n')}
dead IN NS ns1.good
dead IN NS nsx.dead
nsx.dead IN A 127.0.0.9
lame IN NS ns1.good
lame IN NS nsx.lame
nsx.lame IN A 127.0.0.4
noglue IN NS ns1.good
noglue IN NS ns.noglue
cyca IN NS ns.cycb
cycb IN NS ns.cyca
silent IN NS ns1.good
silent IN NS nsx.silent
nsx.silent IN A 127.0.0.8
six IN NS ns1.six
six IN NS ns2.six
ns1.six IN A 127.0.0.2
ns1.six IN AAAA 2001:db8::1
ns2.six IN AAAA 2001:db8::2
${MANY.map((host) => `many IN NS ${host}`).join('\n')}
big2 IN NS ns.big2
ns.big2 IN A 127.0.0.5`;

const SHARED = {
  'good.test': `${NS}\ns._domainkey 60 IN ${TXT}\nrev._domainkey 900 IN TXT "v=DKIM1; k=ed25519; p="`,
  'dead.test': `@ IN NS ns1.good.test.\n@ IN NS nsx\nnsx IN A 127.0.0.9\ns._domainkey IN ${TXT}`,
  'lame.test': `@ IN NS ns1.good.test.\n@ IN NS nsx\nnsx IN A 127.0.0.4\ns._domainkey IN ${TXT}`,
  'noglue.test': `@ IN NS ns1.good.test.\ns._domainkey IN ${TXT}`,
  'wild.test': `${NS}\n*._domainkey 7200 IN TXT "v=spf1 -all"\ns._domainkey IN ${TXT}`,
  'star.test': `${NS}\n* 7200 IN TXT "v=spf1 -all"`,
  'wildcname.test': `${NS}\n* 900 IN CNAME s._domainkey.good.test.\n*._domainkey 800 IN CNAME web.good.test.\ns._domainkey IN ${TXT}`,
  'cust.test': `${NS}\ns._domainkey 500 IN CNAME s.cust.keys.prov.test.\naway._domainkey 500 IN CNAME s.keys.away.`,
  'prov.test': `${NS}\nkeys IN NS ns1.keys\nkeys IN NS ns1\nns1.keys IN A 127.0.0.3`,
  'keys.prov.test': `@ IN NS ns1\n@ IN NS ns1.prov.test.\nns1 IN A 127.0.0.3\ns.cust 4000 IN ${TXT}`,
  'dup.test': `${NS}\ns._domainkey IN ${TXT}\ns._domainkey IN ${OTHER}`,
  'silent.test': `@ IN NS ns1.good.test.\n@ IN NS nsx\nnsx IN A 127.0.0.8\ns._domainkey IN ${TXT}`,
  'six.test': `@ IN NS ns1\n@ IN NS ns2\nns1 IN A 127.0.0.2\nns1 IN AAAA 2001:db8::1\nns2 IN AAAA 2001:db8::2\ns._domainkey IN ${TXT}`,
  'many.test': `${MANY.map((host) => `@ IN NS ${host}.test.`).join('\n')}\ns._domainkey IN ${TXT}`,
  'big.test': `${NS}\ns._domainkey IN ${LARGE}`,
  'chain.test': `${NS}\n${Array.from({ length: 12 }, (_, n) => `c${n}._domainkey IN CNAME c${n + 1}._domainkey`).join('\n')}\nc12._domainkey IN ${TXT}\nodd._domainkey IN CNAME a\\032b.test.`,
  'loop.test': `${NS}\ns._domainkey IN CNAME t._domainkey\nt._domainkey IN CNAME s._domainkey`,
};

/** Root and top-level domain at 127.0.0.1; 127.0.0.3 has higher serial numbers than the others. */
export const SERVERS: readonly LabServer[] = [
  { address: '127.0.0.1', zones: { '.': ROOT, test: TEST } },
  {
    address: '127.0.0.2',
    zones: {
      ...SHARED,
      'view.test': `${NS}\ns._domainkey IN ${TXT}`,
      'alone.test': `${NS}\ns._domainkey IN ${TXT}`,
      'late.test': `${NS}\n`,
      'half.test': `${NS}\n_domainkey IN NS ns.sub\nns.sub IN A 127.0.0.4`,
      'mixed.test': `${NS}\ns._domainkey IN CNAME s._domainkey.good.test.\nt._domainkey IN CNAME s._domainkey.good.test.\nu._domainkey IN CNAME s._domainkey.good.test.`,
    },
  },
  {
    address: '127.0.0.3',
    serial: 7,
    zones: {
      ...SHARED,
      'late.test': `${NS}\ns._domainkey IN ${TXT}`,
      'half.test': `${NS}\ns._domainkey IN ${TXT}`,
      'mixed.test': `${NS}\ns._domainkey IN ${TXT}\nu._domainkey IN CNAME rev._domainkey.good.test.`,
      'stale.test': `${NS}\ns._domainkey IN ${TXT}`,
    },
  },
  {
    address: '127.0.0.4',
    zones: {
      'elsewhere.test': '',
      '_domainkey.half.test': `@ IN NS ns.sub.half.test.\ns IN ${TXT}`,
    },
  },
  {
    address: '127.0.0.5',
    withoutTcp: true,
    zones: { 'big2.test': `@ IN NS ns\nns IN A 127.0.0.5\ns._domainkey IN ${LARGE}` },
  },
];
