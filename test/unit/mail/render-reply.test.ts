import assert from 'node:assert/strict';
import fc from 'fast-check';
import { renderReply } from '../../../src/mail/render-reply.ts';
import { localReply, type RemoteReply, type Reply } from '../../../src/mail/reply.ts';

function remote(code: number, ...lines: string[]): RemoteReply {
  return { origin: 'remote', code, lines, host: 'mx', address: '192.0.2.1', command: 'RCPT' };
}

describe('renderReply', () => {
  it('gives a local reply its enhanced code on each line and the suffix on the last', () => {
    const reply = localReply(451, '4.4.3', 'route.dns', ['DNS did not answer', 'try again']);
    assert.equal(
      renderReply(reply, 'T1'),
      '451-4.4.3 DNS did not answer\r\n451 4.4.3 try again [waxseal route.dns T1]\r\n',
    );
  });

  it('leaves 220, EHLO and 354 without enhanced code and suffix', () => {
    assert.equal(renderReply(localReply(354, undefined, 'data', 'Go on'), 'T1'), '354 Go on\r\n');
  });

  it('passes a remote reply on word for word', () => {
    const reply = remote(550, '5.1.1 <x@y>: unknown', '5.1.1 see  http://z');
    assert.equal(
      renderReply(reply, 'T1'),
      '550-5.1.1 <x@y>: unknown\r\n550 5.1.1 see  http://z\r\n',
    );
  });

  it('adds X.0.0 to remote lines without an enhanced code of the class', () => {
    assert.equal(renderReply(remote(250, 'ok'), 'T'), '250 2.0.0 ok\r\n');
    assert.equal(renderReply(remote(550, '4.1.1 no'), 'T'), '550 5.0.0 4.1.1 no\r\n');
    assert.equal(renderReply(remote(550, '5.1.1'), 'T'), '550 5.1.1 \r\n');
    assert.equal(renderReply(remote(450), 'T'), '450 4.0.0 \r\n');
    assert.equal(renderReply(remote(354, 'go'), 'T'), '354 go\r\n');
  });

  it('turns a remote 421 into 451 and keeps its text', () => {
    assert.equal(renderReply(remote(421, '4.7.0 slow down'), 'T'), '451 4.7.0 slow down\r\n');
    const own = localReply(421, '4.3.2', 'session.draining', 'Bye');
    assert.match(renderReply(own, 'T'), /^421 4\.3\.2 Bye /);
  });

  it('neutralises what could forge a second reply or hide in a log', () => {
    const reply = remote(550, '5.0.0 a\r\n250 2.0.0 forged\u0000\u001b[2J\u00e9\u2028');
    assert.equal(renderReply(reply, 'T'), '550 5.0.0 a  250 2.0.0 forged  [2J??\r\n');
  });

  it('folds long lines, losing nothing, and puts the suffix on a line of its own if need be', () => {
    const words = 'word '.repeat(200);
    const lines = renderReply(remote(550, `5.7.1 ${words}`), 'T').split('\r\n');
    assert.equal(lines.map((line) => line.slice(10)).join(''), words);
    const own = renderReply(localReply(550, '5.7.1', 'a.b', 'x'.repeat(495)), 'T');
    assert.match(own, /^550-5\.7\.1 x{495}\r\n550 5\.7\.1 \[waxseal a\.b T\]\r\n$/);
  });

  it('renders any value as one bounded, well-formed ASCII reply', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 600 }),
      fc.string({ maxLength: 30 }),
      fc.constantFrom('5.1.1 no', '2.0.0', '4.7.1 later\r\n250 ok', '\n', ''),
    );
    const code = fc.oneof(fc.integer({ min: 200, max: 599 }), fc.constantFrom(421, 0, NaN, 9999));
    const reply: fc.Arbitrary<Reply> = fc.oneof(
      fc
        .tuple(code, fc.array(text, { maxLength: 110 }))
        .map(([given, lines]) => remote(given, ...lines)),
      fc
        .tuple(
          code,
          fc.option(fc.constantFrom('5.1.1', '4.0.0', 'junk'), { nil: undefined }),
          text,
          fc.array(text, { maxLength: 110 }),
        )
        .map(([given, enhanced, rule, lines]) => localReply(given, enhanced, rule, lines)),
    );
    fc.assert(
      fc.property(reply, text, (value, id) => {
        const octets = renderReply(value, id);
        assert.ok(octets.endsWith('\r\n'));
        const lines = octets.slice(0, -2).split('\r\n');
        assert.ok(lines.length <= 100);
        const first = lines[0]!.slice(0, 3);
        for (const [index, line] of lines.entries()) {
          assert.match(line, /^[2-5]\d\d[ -][\x20-\x7e]*$/);
          assert.ok(line.length <= 510);
          assert.equal(line.slice(0, 3), first);
          assert.equal(line[3], index === lines.length - 1 ? ' ' : '-');
          const enhanced = value.origin === 'remote' ? !first.startsWith('3') : value.enhanced;
          if (enhanced) assert.match(line.slice(4), new RegExp(`^${first[0]}\\.\\d+\\.\\d+ `));
        }
        const suffix = / ?\[waxseal \S+ \S*\]$/.test(lines.at(-1)!);
        if (value.origin === 'local') assert.equal(suffix, value.enhanced !== undefined);
        if (value.origin === 'remote') assert.notEqual(first, '421');
      }),
    );
  });
});
