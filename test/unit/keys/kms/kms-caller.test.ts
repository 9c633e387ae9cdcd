import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { KmsClient } from '../../../../src/keys/kms/aws-client.ts';
import { KmsCaller } from '../../../../src/keys/kms/kms-caller.ts';
import { KmsError, type KmsFaultKind } from '../../../../src/keys/kms/kms-fault.ts';
import type { KmsOperation } from '../../../../src/keys/kms/kms-operation.ts';
import type { KmsSettings } from '../../../../src/keys/kms/kms-settings.ts';
import { ManualClock } from '../../../support/manual-clock.ts';
import { build } from '../../config/build.ts';

/** How a Region answers; `silence` never does, `brief` after half a second, `slow` after ten. */
type Behaviour = KmsFaultKind | 'answer' | 'silence' | 'brief' | 'slow';

describe('calls to KMS', () => {
  let clock: ManualClock;
  let alerts: string[];
  let sent: string[];
  let behaviour: Record<string, Behaviour | Behaviour[]>;
  let aborted: number;

  beforeEach(() => {
    clock = new ManualClock(Date.parse('2026-11-21T00:00:00Z'));
    alerts = [];
    sent = [];
    behaviour = {};
    aborted = 0;
  });

  const client = (region: string): KmsClient => ({
    send: async (name, _input, signal) => {
      sent.push(`${region} ${name}`);
      const how = behaviour[region] ?? 'answer';
      const now = Array.isArray(how) ? (how.shift() ?? 'answer') : how;
      if (now === 'silence') {
        return await new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted += 1;
            reject(new KmsError('aborted', 'aborted'));
          });
        });
      }
      if (now === 'slow') await new Promise<void>((resolve) => clock.after(10_000, resolve));
      else if (now === 'brief') await new Promise<void>((resolve) => clock.after(500, resolve));
      else if (now !== 'answer') throw new KmsError(now, `${now} in ${region}`);
      return { $metadata: {}, Signature: Buffer.from(region) } as never;
    },
    close: () => undefined,
  });
  const caller = (settings: Partial<KmsSettings> = {}) =>
    new KmsCaller({
      settings: { ...build('').config.kms, ...settings },
      clock,
      alert: (message) => alerts.push(message),
      random: () => 1,
      openClient: async ({ region }) => client(region),
    });
  const sign = (kms: KmsCaller, regions: readonly string[] = ['one'], signal?: AbortSignal) =>
    kms
      .call({
        operation: 'Sign',
        family: 'sign-rsa',
        regions,
        input: () => ({ KeyId: 'k', Message: Buffer.of(1), SigningAlgorithm: 'ED25519_SHA_512' }),
        signal,
      })
      .then(({ Signature }) => Buffer.from(Signature ?? []).toString());
  const call = (kms: KmsCaller, operation: KmsOperation & keyof typeof INPUTS, keyId = 'k') =>
    kms.call({
      operation,
      family: operation,
      regions: ['one'],
      input: () => ({ ...INPUTS[operation], KeyId: keyId }) as never,
    });
  /** Moves the clock until a promise is settled. @returns how long it took, by the clock */
  const elapse = async (promise: Promise<unknown>, stepMs = 100): Promise<number> => {
    const startMs = clock.monotonicMs();
    let settled = false;
    const settle = () => {
      settled = true;
    };
    promise.then(settle, settle);
    for (let step = 0; step < 10_000; step += 1) {
      for (let turn = 0; turn < 3; turn += 1) await nextTurn();
      if (settled) return clock.monotonicMs() - startMs;
      clock.advance(stepMs);
    }
    throw new Error('it never ended');
  };
  const kindOf = async (promise: Promise<unknown>): Promise<string> => {
    try {
      await promise;
      return 'answer';
    } catch (error) {
      return error instanceof KmsError ? error.kind : String(error);
    }
  };

  it('are answered at once when all is well', async () => {
    const kms = caller();
    assert.equal(await sign(kms), 'one');
    assert.deepEqual(kms.counts, { calls: { Sign: 1 }, failures: {} });
    assert.equal(clock.waiting, 0, 'no timer is left');
  });

  for (const fault of ['throttled', 'unavailable', 'clock-skew'] as const) {
    it(`are made again after: ${fault}`, async () => {
      const kms = caller();
      behaviour.one = [fault, fault, 'answer'];
      const answer = sign(kms);
      assert.equal(await elapse(answer), 300, '100 ms, then 200 ms');
      assert.equal(await answer, 'one');
      assert.equal(sent.length, 3);
      assert.deepEqual(kms.counts.failures, { [fault]: 2 });
    });
  }

  for (const fault of [
    'access-denied',
    'disabled',
    'invalid-state',
    'not-found',
    'wrong-context',
    'credentials',
    'other',
  ] as const) {
    it(`are not made again after: ${fault}; neither is another Region asked`, async () => {
      behaviour.one = fault;
      assert.equal(await kindOf(sign(caller(), ['one', 'two'])), fault);
      assert.deepEqual(sent, ['one Sign']);
    });
  }

  it('have 12 seconds each and 30 in all', async () => {
    behaviour.one = 'silence';
    const answer = kindOf(sign(caller()));
    assert.equal(await elapse(answer), 30_000);
    assert.equal(await answer, 'timeout');
    assert.equal(sent.length, 3);
    assert.equal(aborted, 3, 'nothing goes on in the background');
    assert.equal(clock.waiting, 0);
  });

  it('end at once when the process does, wherever they are', async () => {
    behaviour.one = 'silence';
    const kms = caller({ quotas: { rsaPerSecond: 2, eccPerSecond: 2 } });
    const answers = [kindOf(sign(kms)), kindOf(sign(kms))]; // the second waits for its turn
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    assert.deepEqual(sent, ['one Sign']);
    await kms.close();
    assert.deepEqual(await Promise.all(answers), ['aborted', 'aborted']);
    assert.equal(aborted, 1);
    assert.equal(clock.waiting, 0);
    assert.equal(await kindOf(sign(kms)), 'aborted', 'none is begun any more');
    assert.deepEqual(sent, ['one Sign']);
  });

  it('go to another Region at once on time-out, 5xx and throttling', async () => {
    for (const [fault, afterMs] of [
      ['silence', 12_000],
      ['unavailable', 0],
      ['throttled', 0],
    ] as const) {
      sent = [];
      behaviour.one = fault;
      const answer = sign(caller(), ['one', 'two']);
      assert.equal(await elapse(answer), afterMs);
      assert.equal(await answer, 'two');
      assert.deepEqual(sent, ['one Sign', 'two Sign']);
    }
  });

  it('do not take the word of a Region that was only failed over to', async () => {
    behaviour.one = ['unavailable', 'answer'];
    behaviour.two = 'not-found';
    const answer = sign(caller(), ['one', 'two']);
    await elapse(answer);
    assert.equal(await answer, 'one');
    assert.deepEqual(sent, ['one Sign', 'two Sign', 'one Sign']);
  });

  it('take the word of home for the last one, whatever else failed before', async () => {
    behaviour.one = ['throttled', 'disabled'];
    behaviour.two = 'throttled';
    const answer = kindOf(sign(caller(), ['one', 'two']));
    await elapse(answer);
    assert.equal(await answer, 'disabled', 'no fall-back key signs in its place');
    assert.deepEqual(sent, ['one Sign', 'two Sign', 'one Sign']);
    behaviour.one = ['clock-skew', 'access-denied'];
    behaviour.two = 'answer';
    const skewed = kindOf(sign(caller(), ['one', 'two']));
    await elapse(skewed);
    assert.equal(await skewed, 'access-denied', 'another Region is not asked');
  });

  it('say what was wrong at home when no Region answers', async () => {
    behaviour.one = 'unavailable';
    behaviour.two = 'access-denied';
    const answer = kindOf(sign(caller({ totalTimeoutMs: 1000 }), ['one', 'two']));
    await elapse(answer);
    assert.equal(await answer, 'unavailable');
  });

  it('leave a Region alone that failed five times in a row, and find it again', async () => {
    const kms = caller({ totalTimeoutMs: 100 });
    behaviour.one = 'unavailable';
    for (let count = 0; count < 5; count += 1) await elapse(kindOf(sign(kms)), 10);
    const before = sent.length;
    assert.equal(await kindOf(sign(kms)), 'unavailable');
    assert.equal(sent.length, before, 'not even asked');
    assert.match(alerts[0] ?? '', /KMS in one does not answer/);
    behaviour.one = 'answer';
    clock.advance(2000);
    assert.equal(await sign(kms), 'one');
    assert.match(alerts[1] ?? '', /KMS in one answers again/);
  });

  it('faults of keys and throttling never open the breaker', async () => {
    const kms = caller({ totalTimeoutMs: 100 });
    for (const fault of ['access-denied', 'disabled', 'throttled', 'wrong-context'] as const) {
      behaviour.one = fault;
      for (let count = 0; count < 10; count += 1) await elapse(kindOf(sign(kms)), 10);
    }
    behaviour.one = 'answer';
    assert.equal(await sign(kms), 'one');
    assert.deepEqual(alerts, []);
  });

  it('one Region that is down does not stop the others', async () => {
    const kms = caller({ totalTimeoutMs: 100 });
    behaviour.one = 'unavailable';
    for (let count = 0; count < 5; count += 1) await elapse(kindOf(sign(kms)), 10);
    sent = [];
    assert.equal(await sign(kms, ['one', 'two']), 'two');
    assert.deepEqual(sent, ['two Sign']);
  });

  it('wait for their turn by the quota share, each family for itself', async () => {
    const kms = caller({ quotas: { rsaPerSecond: 20, eccPerSecond: 1000 }, quotaShare: 50 });
    const answers = Promise.all(Array.from({ length: 12 }, () => sign(kms)));
    assert.equal(await elapse(answers), 1000, '2 at once, 10 by second afterwards');
    assert.equal(sent.length, 12);
  });

  it('are refused at once when they would wait too long, or too many wait', async () => {
    const kms = caller({
      quotas: { rsaPerSecond: 2, eccPerSecond: 2 },
      maxWaiting: 5,
      totalTimeoutMs: 6000,
    });
    const kinds = Array.from({ length: 8 }, () => kindOf(sign(kms)));
    assert.equal(kms.underWay, 5);
    await elapse(Promise.all(kinds));
    assert.deepEqual(await Promise.all(kinds), [
      'answer',
      'answer',
      'answer',
      'answer',
      'over-quota',
      'over-quota',
      'over-quota',
      'over-quota',
    ]);
    assert.equal(kms.underWay, 0);
  });

  it('end when nobody waits any more: in the queue, in the call, in the pause', async () => {
    const kms = caller({ quotas: { rsaPerSecond: 2, eccPerSecond: 2 } });
    behaviour.one = ['silence', 'answer'];
    const controller = new AbortController();
    const kinds = [
      kindOf(sign(kms, ['one'], controller.signal)),
      kindOf(sign(kms, ['one'], controller.signal)),
    ];
    await nextTurn();
    controller.abort();
    assert.deepEqual(await Promise.all(kinds), ['aborted', 'aborted']);
    assert.equal(sent.length, 1);
    assert.equal(clock.waiting, 0);
    behaviour.one = 'throttled';
    const later = new AbortController();
    clock.advance(5000);
    const paused = kindOf(sign(kms, ['one'], later.signal));
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    later.abort();
    assert.equal(await paused, 'aborted');
    assert.equal(kms.underWay, 0);
  });

  it('wait for a connection without being on the clock: a KMS that is slow is not down', async () => {
    behaviour.one = 'slow';
    const kms = caller({ connections: 2 });
    const answers = Array.from({ length: 8 }, () => kindOf(sign(kms)));
    const stopped = new AbortController();
    const left = kindOf(sign(kms, ['one'], stopped.signal));
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
    assert.equal(sent.length, 2, 'as many as there are connections');
    stopped.abort();
    assert.equal(await left, 'aborted');
    assert.equal(await elapse(Promise.all(answers)), 20_000);
    const said = Object.groupBy(await Promise.all(answers), (kind) => kind);
    assert.equal(said.answer?.length, 4, 'two in each ten seconds');
    assert.equal(said['over-quota']?.length, 4, 'a full attempt would not fit any more');
    assert.deepEqual(kms.counts, { calls: { Sign: 4 }, failures: {} });
    assert.deepEqual(alerts, [], 'the breaker stays closed');
    behaviour.one = 'silence';
    const brief = () =>
      kms.call({
        operation: 'Decrypt',
        family: 'symmetric',
        regions: ['one'],
        withinMs: 5000, // less than an attempt may take
        input: () => ({ KeyId: 'k', CiphertextBlob: Buffer.of(1) }),
      });
    const silent = [sign(kms), sign(kms)].map(kindOf);
    const waits = kindOf(brief());
    assert.equal(await elapse(waits), 2500, 'half of its time');
    assert.equal(await waits, 'over-quota');
    await elapse(Promise.all(silent));
    behaviour.one = 'answer';
    clock.advance(2000); // it was silent indeed, so it is left alone
    assert.equal(await sign(kms), 'one');
    assert.equal(clock.waiting, 0);
  });

  it('get a turn only while a whole attempt still fits: mail over the quota is not a KMS that is down', async () => {
    behaviour.one = 'brief';
    const kms = caller({ quotas: { rsaPerSecond: 20, eccPerSecond: 20 }, quotaShare: 50 });
    const answers: Promise<string>[] = [];
    for (let second = 0; second < 60; second += 1) {
      for (let count = 0; count < 20; count += 1) answers.push(kindOf(sign(kms)));
      await elapse(new Promise<void>((resolve) => clock.after(1000, resolve)));
    }
    await elapse(Promise.all(answers));
    const said = Object.groupBy(await Promise.all(answers), (kind) => kind);
    assert.deepEqual(Object.keys(said).sort(), ['answer', 'over-quota']);
    assert.ok((said.answer?.length ?? 0) >= 600, 'ten in each second');
    assert.deepEqual(alerts, [], 'the breaker stays closed');
  });

  it('that have less time than an attempt say nothing of the Region when it is over', async () => {
    behaviour.one = 'slow';
    const kms = caller();
    const brief = () =>
      kms.call({
        operation: 'Decrypt',
        family: 'symmetric',
        regions: ['one'],
        withinMs: 5000,
        input: () => ({ KeyId: 'k', CiphertextBlob: Buffer.of(1) }),
      });
    const late = Array.from({ length: 6 }, () => kindOf(brief()));
    await elapse(Promise.all(late));
    assert.deepEqual(new Set(await Promise.all(late)), new Set(['timeout']));
    const answer = kindOf(sign(kms));
    await elapse(answer);
    assert.equal(await answer, 'answer');
    assert.deepEqual(alerts, [], 'the breaker stays closed');
  });

  it('are counted against the budget, but never what takes a key out of use', async () => {
    const kms = caller({ budget: 2 });
    assert.equal(await sign(kms), 'one');
    assert.equal(await sign(kms), 'one');
    assert.equal(await kindOf(sign(kms)), 'over-budget');
    assert.equal(sent.length, 2);
    await call(kms, 'DisableKey');
    await elapse(call(kms, 'ScheduleKeyDeletion'));
    assert.equal(sent.length, 4);
  });

  it('of CreateKey are never repeated when nobody knows how the first one ended', async () => {
    behaviour.one = 'silence';
    const answer = kindOf(call(caller(), 'CreateKey'));
    assert.equal(await elapse(answer), 12_000);
    assert.equal(await answer, 'timeout');
    assert.deepEqual(sent, ['one CreateKey']);
    behaviour.one = ['throttled', 'answer'];
    await elapse(call(caller(), 'CreateKey'));
    assert.equal(sent.length, 3, 'throttled: it was not carried out');
  });

  it('never disable or delete the wrapping key, by whatever name', async () => {
    const id = `mrk-${'0a'.repeat(16)}`;
    const wrappingKey = `arn:aws:kms:eu-central-1:111122223333:key/${id}`;
    const kms = caller({ wrappingKey });
    for (const operation of ['DisableKey', 'ScheduleKeyDeletion'] as const) {
      for (const name of [wrappingKey, wrappingKey.replace('central', 'west'), id]) {
        await assert.rejects(call(kms, operation, name), /wrapping key .* never done/);
      }
    }
    assert.deepEqual(sent, []);
  });
});

const INPUTS = {
  CreateKey: {},
  DisableKey: {},
  ScheduleKeyDeletion: { PendingWindowInDays: 7 },
} as const;
