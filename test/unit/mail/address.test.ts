import assert from 'node:assert/strict';
import fc from 'fast-check';
import { canonicalDomain, parseMailbox, splitPath } from '../../../src/mail/address.ts';
import { parseMailCommand, parseRcptCommand } from '../../../src/mail/address-command.ts';
import type { Mailbox } from '../../../src/mail/envelope.ts';

function rcpt(argument: string | Buffer, smtpUtf8 = false) {
  return parseRcptCommand(Buffer.from(argument as string), smtpUtf8);
}

function mailbox(argument: string, smtpUtf8 = false): Mailbox {
  const parsed = rcpt(argument, smtpUtf8);
  assert.ok(!('origin' in parsed), `${argument}: ${JSON.stringify(parsed)}`);
  return parsed;
}

function refusal(parsed: object): string {
  assert.ok('origin' in parsed && 'code' in parsed && 'enhanced' in parsed, JSON.stringify(parsed));
  return `${parsed.code} ${parsed.enhanced}`;
}

describe('paths of RCPT', () => {
  it('parses a plain address and lower-cases its domain only', () => {
    assert.deepEqual(mailbox(' TO:<Anna.B@Example.COM>'), {
      address: 'Anna.B@Example.COM',
      localPart: 'Anna.B',
      domain: 'example.com',
      needsSmtpUtf8: false,
    });
    assert.equal(mailbox('to: <a@b.example> ').domain, 'b.example');
  });

  it('takes the bare postmaster', () => {
    assert.equal(mailbox('TO:<Postmaster>').domain, '');
  });

  it('drops a source route and uses the last domain', () => {
    const parsed = mailbox('TO:<@relay.example,@two.example:anna@three.example>');
    assert.equal(parsed.address, 'anna@three.example');
    assert.equal(parsed.domain, 'three.example');
  });

  it('passes %-hack and bang path on as local parts, and routes to the written domain', () => {
    for (const local of ['user%evil.example', 'evil.example!user', '"user@evil.example"']) {
      const parsed = mailbox(`TO:<${local}@good.example>`);
      assert.equal(parsed.localPart, local);
      assert.equal(parsed.domain, 'good.example');
      assert.equal(parsed.address, `${local}@good.example`);
    }
  });

  it('takes quoted local parts with spaces, brackets and escapes', () => {
    for (const local of ['"a b"', '"<a@b>"', '"a\\"b"', '"a\\\\"', '"a>b"', '""']) {
      assert.equal(mailbox(`TO:<${local}@c.example>`).localPart, local);
    }
  });

  it('takes address literals in one canonical form', () => {
    assert.equal(mailbox('TO:<a@[192.0.2.1]>').domain, '[192.0.2.1]');
    assert.equal(mailbox('TO:<a@[ipv6:2001:DB8::1]>').domain, '[IPv6:2001:db8::1]');
    for (const bad of ['[192.0.2.256]', '[::1]', '[IPv6:fe80::1%eth0]', '[192.0.2.1', '[x:y]']) {
      assert.equal(refusal(rcpt(`TO:<a@${bad}>`)), '501 5.1.3', bad);
    }
  });

  it('refuses addresses in which two readers could see two domains', () => {
    for (const path of [
      'a@b@c.example',
      '<a@b>@c.example',
      'a b@c.example',
      'a@b.example c',
      '"a"b@c.example',
      'a(x)@c.example',
      'a,b@c.example',
      'a@b,c.example',
      'a\\@b@c.example',
      '@c.example',
      'a@',
      'a',
      '',
      'host!user',
      '@relay.example:',
      'a@b..example',
      'a@.example',
      'a@b.example.',
      'a@-b.example',
      'a@b-.example',
      'a@127.0.0.1',
      'a@0x7f.1',
      'a@b.123',
      'a@ex%61mple.com',
      'a@b_c.example',
      'a@b.example:25',
      'a@b.example/x',
    ]) {
      const parsed = rcpt(`TO:<${path}>`);
      assert.match(refusal(parsed), /^501 5\.(1\.3|5\.4)$/, path);
    }
  });

  it('refuses control characters, junk octets and missing brackets with 501 5.5.4', () => {
    for (const argument of [
      'TO:<a\r@b.example>',
      'TO:<a\n@b.example>',
      'TO:<a\0@b.example>',
      'TO:<a\x7f@b.example>',
      'TO:<a@b.example>\tX',
      'TO:a@b.example',
      'TO:<a@b.example',
      'TO <a@b.example>',
      'FROM:<a@b.example>',
      'TO:<a@b.example>X=1',
      '  TO:<a@b.example>',
      '',
      Buffer.from('TO:<a\xe9@b.example>', 'latin1'),
      Buffer.from('TO:<a\xc0\x80@b.example>', 'latin1'),
      'TO:<a\u0085b@b.example>',
      'TO:<a\u202eb@b.example>',
      'TO:<a\u200b@b.example>',
    ]) {
      assert.equal(refusal(rcpt(argument, true)), '501 5.5.4', JSON.stringify(argument));
    }
  });

  it('knows no parameter of RCPT', () => {
    assert.equal(refusal(rcpt('TO:<a@b.example> NOTIFY=NEVER')), '555 5.5.4');
  });

  it('keeps the limits of length', () => {
    const label = 'a'.repeat(63);
    assert.equal(canonicalDomain(`${label}.example`), `${label}.example`);
    assert.equal(canonicalDomain(`a${label}.example`), undefined);
    assert.equal(canonicalDomain(`${`${label}.`.repeat(3)}${'b'.repeat(61)}`)?.length, 253);
    assert.equal(canonicalDomain(`${`${label}.`.repeat(3)}${'b'.repeat(62)}`), undefined);
    assert.equal(mailbox(`TO:<${'l'.repeat(64)}@b.example>`).localPart.length, 64);
    assert.equal(mailbox(`TO:<${'l'.repeat(244)}@b.example>`).address.length, 254);
    assert.equal(refusal(rcpt(`TO:<${'l'.repeat(245)}@b.example>`)), '501 5.1.3');
  });
});

describe('internationalised addresses', () => {
  it('turns a domain into A-labels and leaves the address as it was written', () => {
    const parsed = mailbox('TO:<J\u00f6rg@M\u00fcnchen.example>', true);
    assert.equal(parsed.address, 'J\u00f6rg@M\u00fcnchen.example');
    assert.equal(parsed.domain, 'xn--mnchen-3ya.example');
    assert.ok(parsed.needsSmtpUtf8);
  });

  it('needs SMTPUTF8', () => {
    assert.equal(refusal(rcpt('TO:<j\u00f6rg@b.example>')), '553 5.6.7');
    const from = Buffer.from('FROM:<a@m\u00fcnchen.example>');
    assert.equal(refusal(parseMailCommand(from)), '553 5.6.7');
  });

  it('refuses labels that a mapping would turn into another name', () => {
    for (const domain of [
      '\uff45xample.com',
      'example\u3002com',
      '\uff11\uff12\uff17.0.0.1',
      'a\u00adb.example',
      '\u2488com',
      '\u212aelvin.example',
    ]) {
      assert.match(refusal(rcpt(`TO:<a@${domain}>`, true)), /^501 /, domain);
    }
  });
});

describe('MAIL', () => {
  const parse = (argument: string) => parseMailCommand(Buffer.from(argument));

  it('takes the null reverse-path and the parameters that are offered', () => {
    assert.deepEqual(parse('FROM:<>'), {
      reversePath: undefined,
      sizeBytes: undefined,
      body: undefined,
      smtpUtf8: false,
    });
    const parsed = parse('from: <a@b.example> size=123 BODY=8bitmime SMTPUTF8 AUTH=<>');
    assert.ok(!('origin' in parsed));
    assert.equal(parsed.sizeBytes, 123);
    assert.equal(parsed.body, '8BITMIME');
    assert.equal(parsed.smtpUtf8, true);
    assert.equal(parsed.reversePath?.address, 'a@b.example');
  });

  it('refuses what it does not know or cannot read', () => {
    assert.equal(refusal(parse('FROM:<a@b.example> RET=FULL')), '555 5.5.4');
    assert.equal(refusal(parse('FROM:<a@b.example> REQUIRETLS')), '555 5.5.4');
    for (const parameters of [
      'SIZE',
      'SIZE=',
      'SIZE=-1',
      'SIZE=1e3',
      `SIZE=${'9'.repeat(21)}`,
      'SIZE=1 SIZE=1',
      'BODY=BINARYMIME',
      'BODY',
      'SMTPUTF8=yes',
      'AUTH',
      '=1',
      'SIZE=1=2',
    ]) {
      assert.equal(refusal(parse(`FROM:<a@b.example> ${parameters}`)), '501 5.5.4', parameters);
    }
    assert.equal(refusal(parse('FROM:<a@b@c.example>')), '501 5.1.7');
    assert.equal(refusal(parse('FROM:<postmaster>')), '501 5.1.7');
  });
});

describe('any path', () => {
  const hostile = fc.array(
    fc.constantFrom(
      'a',
      'B',
      '@',
      '.',
      '"',
      '\\',
      '<',
      '>',
      ' ',
      ':',
      ',',
      '[',
      ']',
      '%',
      '\u00fc',
    ),
    { maxLength: 16 },
  );

  it('that is taken has one domain, which is the one behind the last @ of the address', () => {
    fc.assert(
      fc.property(hostile, (characters) => {
        const split = splitPath(`<${characters.join('')}>`);
        if (split === undefined) return;
        const parsed = parseMailbox(split.path, 'forward');
        if ('origin' in parsed) return;
        const { address, localPart, domain } = parsed;
        assert.ok(split.path.endsWith(address));
        const written = address.slice(localPart.length + 1);
        assert.equal(address, `${localPart}@${written}`);
        assert.equal(canonicalDomain(written), domain);
        assert.match(domain, /^[a-z0-9.-]+$/);
        assert.doesNotMatch(written, /[@<>" \\]/);
      }),
      { numRuns: 3000 },
    );
  });

  it('never makes the parser throw, whatever the octets', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (octets, smtpUtf8) => {
        const tail = Buffer.from(octets);
        rcpt(Buffer.concat([Buffer.from('TO:<'), tail, Buffer.from('>')]), smtpUtf8);
        parseMailCommand(Buffer.concat([Buffer.from('FROM:<a@b.example>'), tail]));
      }),
    );
  });

  it('of ordinary shape comes back as it was written', () => {
    const atom = fc.stringMatching(/^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]{1,20}$/);
    const label = fc.stringMatching(/^[a-zA-Z]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?$/);
    fc.assert(
      fc.property(atom, fc.array(label, { minLength: 1, maxLength: 4 }), (local, labels) => {
        const parsed = mailbox(`TO:<${local}@${labels.join('.')}>`);
        assert.equal(parsed.address, `${local}@${labels.join('.')}`);
        assert.equal(parsed.domain, labels.join('.').toLowerCase());
      }),
    );
  });
});
