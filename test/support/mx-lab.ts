import assert from 'node:assert/strict';
import type { Reply } from '../../src/mail/reply.ts';
import type { DotResult, Leg } from '../../src/relay/leg.ts';
import { nextTurn } from '../../src/relay/smtp-client-content.ts';
import { type FakeMx, type MxOptions, type MxScript, type MxSession, startMx } from './mx.ts';
import { dueIn, inMemory, mailbox, type TestLeg, testLeg } from './mx-leg.ts';

export const MESSAGE = 'From: a@example.org\r\n\r\nbody\r\n';

/** A million octets of content. */
export const MEGABYTE = Buffer.from('x'.repeat(998).concat('\r\n').repeat(1000));

/** More than what stands in socket buffers. */
export async function* endless() {
  for (let i = 0; i < 200; i += 1) yield MEGABYTE;
}

/** A short content, piece by piece. */
export async function* trickle() {
  for (let i = 0; i < 5; i += 1) {
    yield Buffer.from('line\r\n');
    await nextTurn();
  }
}

/** An answer to DATA behind which nothing is read until the session is told to resume. */
export function goAheadAndPause(session: MxSession): string {
  session.pause();
  return '354 go';
}

/** A reply in one line; one of our own with its enhanced code and rule. */
export function text(reply: Reply): string {
  const enhanced = reply.origin === 'local' ? ` ${reply.enhanced} [${reply.rule}]` : '';
  return `${reply.code}${enhanced} ${reply.lines.join(' | ')}`;
}

/** The same of a result, its kind first. */
export function said({ kind, reply }: DotResult): string {
  return `${kind} ${text(reply)}`;
}

/** Fake MXs, and legs to them that stand where a test begins; `close` ends them all. */
export class MxLab {
  #mxs: FakeMx[] = [];
  #legs: Leg[] = [];

  readonly mxWith = async (script: MxScript, options: MxOptions = {}): Promise<FakeMx> => {
    const mx = await startMx(script, options);
    this.#mxs.push(mx);
    return mx;
  };

  readonly legTo = (mx: FakeMx, test: Partial<TestLeg> = {}): Leg => {
    const leg = testLeg({ port: mx.port, ...test });
    this.#legs.push(leg);
    return leg;
  };

  readonly rcptAt = async (
    script: MxScript,
    test: Partial<TestLeg> = {},
    options: MxOptions = {},
  ) => {
    const mx = await this.mxWith(script, options);
    const leg = this.legTo(mx, test);
    return { mx, leg, reply: await leg.rcpt(mailbox('a@example.com')) };
  };

  /** Two MXs of one destination, at 127.0.0.1 and 127.0.0.2 of the same port. */
  readonly twoMxs = async (first: MxScript, second: MxScript, test: Partial<TestLeg> = {}) => {
    const one = await this.mxWith(first);
    const two = await this.mxWith(second, { host: '127.0.0.2', port: one.port });
    const candidates = [
      { host: 'mx1.test', addresses: ['127.0.0.1'] },
      { host: 'mx2.test', addresses: ['127.0.0.2'] },
    ];
    return { one, two, leg: this.legTo(one, { candidates, ...test }) };
  };

  readonly inData = async (
    script: MxScript,
    test: Partial<TestLeg> = {},
    options: MxOptions = {},
  ) => {
    const { mx, leg, reply } = await this.rcptAt(script, test, options);
    assert.equal(reply.code, 250);
    assert.equal((await leg.data()).code, 354);
    return { mx, leg, session: await mx.session(0) };
  };

  readonly dotAt = async (script: MxScript, test: Partial<TestLeg> = {}): Promise<DotResult> => {
    const { leg } = await this.inData(script, test);
    return leg.send(inMemory(MESSAGE), dueIn());
  };

  readonly close = async (): Promise<void> => {
    for (const leg of this.#legs) leg.abort();
    await Promise.all(this.#mxs.map((mx) => mx.close()));
    this.#mxs = [];
    this.#legs = [];
  };
}
