import assert from 'node:assert/strict';
import type { RemoteReply } from '../../../src/mail/reply.ts';
import type { Fault } from '../../../src/relay/smtp-client-answer.ts';
import {
  exhausted,
  judge,
  judgeContent,
  judgeSetup,
  type Phase,
  type Tried,
} from '../../../src/relay/trouble.ts';

const ENDPOINT = { host: 'mx.test', address: '192.0.2.1' };

function remote(code: number, command = 'MAIL'): RemoteReply {
  return { origin: 'remote', code, lines: ['said'], command, ...ENDPOINT };
}

function tried(step: Tried['step'], fault: Fault): Tried {
  return { ...ENDPOINT, step, fault };
}

const CLOSED: Fault = { kind: 'closed', detail: 'gone' };

describe('trouble', () => {
  it('gives each phase and failure its meaning', () => {
    const faults: Record<string, Fault | RemoteReply> = {
      temporary: remote(450),
      permanent: remote(550),
      silent: { kind: 'timeout', detail: 'x' },
      lost: CLOSED,
      broken: { kind: 'out-of-step', detail: 'x' },
    };
    const found: Record<string, string> = {};
    for (const phase of ['mail', 'rcpt', 'data', 'before-content'] as Phase[]) {
      found[phase] = Object.values(faults)
        .map((fault) => ('origin' in fault ? { kind: 'reply' as const, reply: fault } : fault))
        .map((answer) => judge(phase, answer, ENDPOINT))
        .map(({ kind, reply }) => `${kind} ${reply.code}`)
        .join(', ');
    }
    assert.deepEqual(found, {
      mail: 'next-address 450, final 550, next-address 451, next-address 451, next-address 451',
      rcpt: 'final 450, final 550, final 451, final 451, final 451',
      data: 'final 450, final 550, final 451, rebuild 451, final 451',
      'before-content': 'final 450, final 550, final 451, rebuild 451, final 451',
    });
  });

  it('never makes a 2xx or a 5xx of a fault', () => {
    const kinds = [
      'timeout',
      'closed',
      'malformed',
      'out-of-step',
      'injected',
      'tls',
      'source',
    ] as const;
    for (const kind of kinds) {
      const fault: Fault = { kind, detail: 'x' };
      for (const result of [
        judgeContent({ kind: 'not-sent', fault, begun: true }, ENDPOINT, false),
        judgeContent({ kind: 'unknown', fault }, ENDPOINT, false),
      ]) {
        assert.equal(result.reply.code, 451);
        assert.notEqual(result.kind, 'answered');
      }
    }
  });

  it('goes on in plain text only where TLS is optional and does not work', () => {
    const refused: Fault = { kind: 'refused', reply: remote(454, 'STARTTLS') };
    assert.equal(judgeSetup('opportunistic', 'tls', refused), 'plain');
    assert.equal(judgeSetup('opportunistic', 'tls', CLOSED), 'plain');
    assert.equal(judgeSetup('encrypt', 'tls', refused), 'next');
    assert.equal(judgeSetup('verify', 'tls', CLOSED), 'next');
    assert.equal(judgeSetup('opportunistic', 'tls', { kind: 'injected', detail: 'x' }), 'next');
    assert.equal(judgeSetup('opportunistic', 'ehlo', CLOSED), 'next');
  });

  it('says most of what was met when no host is left', () => {
    const greeting = (code: number) =>
      tried('greeting', { kind: 'refused', reply: remote(code, 'greeting') });
    const mail = tried('mail', { kind: 'refused', reply: remote(450) });
    const cases: [Tried[], string][] = [
      [[], '451 4.4.1'],
      [[tried('connect', CLOSED)], '451 4.4.1'],
      [[greeting(554), greeting(554)], '554 '],
      [[greeting(554), greeting(421)], '451 4.4.1'],
      [[greeting(554), tried('connect', CLOSED)], '451 4.4.1'],
      [[mail, tried('connect', CLOSED)], '450 '],
      [[tried('tls', CLOSED)], '451 4.7.5'],
      [[tried('auth', CLOSED)], '451 4.7.8'],
      [[tried('ehlo', { kind: 'malformed', detail: 'x' })], '451 4.5.0'],
    ];
    for (const [all, expected] of cases) {
      const reply = exhausted('example.com', 'encrypt', all);
      const enhanced = reply.origin === 'local' ? reply.enhanced : '';
      assert.equal(`${reply.code} ${enhanced}`, expected);
    }
  });

  it('bounds and cleans what it repeats', () => {
    const evil = { ...remote(421, 'greeting'), lines: [`a\r\n\x1b[31m${'x'.repeat(5000)}`] };
    const all = Array.from({ length: 30 }, () =>
      tried('greeting', { kind: 'refused', reply: evil }),
    );
    const { lines } = exhausted('example.com', 'none', all);
    assert.equal(lines.length, 10);
    assert.ok(lines.every((line) => line.length < 300 && /^[ -~…]*$/.test(line)));
  });
});
