/** Thousands of open transactions that wait for a stuck MX, and healthy mail beside them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { openFileLimit } from '../children.ts';
import type { GeneratorResult } from '../generator.ts';
import { memoryMiB, peakMemory } from '../proc-sample.ts';
import { slowness, slownessNote } from '../reference.ts';
import type { Row } from '../row.ts';
import type { SinkCounts } from '../sink.ts';
import type { Stage } from '../stage.ts';
import { type System, startRelay } from '../systems.ts';
import { generate, type Load, MESSAGES, signatureCpuMs, startGenerator } from '../workload.ts';

const FULL_SESSIONS = 10_000;

/** Two sockets a transaction, less what else the relay has open. */
function affordableSessions(): number {
  return Math.floor((openFileLimit() - 300) / 2);
}

/** Longest wait until every stalled RCPT has arrived at the stuck MX. */
const FILL_TIMEOUT_MS = 120_000;

/** Fills up a fresh relay, and measures mail to a good MX before and while it is full. */
export async function* stalledRows(stage: Stage): AsyncGenerator<Row> {
  const sessions = Math.min(stage.quick ? 500 : FULL_SESSIONS, affordableSessions());
  const relay = await startRelay(stage);
  await generate(relay.port, { ...healthyLoad(stage), messages: 300 }, 'closed');
  const rMs = await signatureCpuMs('rsa', stage.quick);
  const before = await healthyMail(stage, relay);
  const load: Load = { ...healthyLoad(stage), sessions, messages: sessions, to: 'stuck.example' };
  const generator = startGenerator(relay.port, load, 'stalled');
  const { peak, result } = await peakMemory(relay.pid, async () => {
    await generator.next(FILL_TIMEOUT_MS);
    await allStalled(stage, sessions);
    return healthyMail(stage, relay);
  });
  const held = memoryMiB(relay.pid);
  await generator.stop();
  await relay.stop();
  const slower = result.mail.p50Ms - before.mail.p50Ms;
  yield {
    group: 'stalled',
    name: `${sessions} open transactions on a stuck MX`,
    figures: {
      peakAnonymousMiB: peak.anonymous,
      heldAnonymousMiB: held.anonymous,
      mailP50BeforeMs: before.mail.p50Ms,
      mailP99BeforeMs: before.mail.p99Ms,
      mailP50Ms: result.mail.p50Ms,
      mailP99Ms: result.mail.p99Ms,
      noopP99BeforeMs: before.noop.p99Ms,
      noopP99Ms: result.noop.p99Ms,
    },
    checks: [
      {
        what: 'anonymous memory',
        value: peak.anonymous,
        unit: 'MiB',
        limit: 400,
        stretch: 250,
        kind: 'at-most',
      },
      {
        what: 'event loop (NOOP p99)',
        value: result.noop.p99Ms,
        unit: 'ms',
        limit: 50,
        kind: 'at-most',
      },
      {
        what: 'healthy mail, p50 added',
        value: slower,
        unit: 'ms',
        limit: slowness(rMs),
        kind: 'at-most',
      },
    ],
    note: `${slownessNote(rMs)}${sessions < FULL_SESSIONS ? `; the full row has ${FULL_SESSIONS}` : ''}`,
  };
}

function healthyLoad(stage: Stage): Load {
  return {
    message: MESSAGES['1KB'],
    sessions: 4,
    messages: stage.quick ? 100 : 500,
    signature: 'rsa',
    to: 'counted.example',
  };
}

/** Mail to a good MX at 50 a second, and at the same time NOOPs at 100 a second. */
async function healthyMail(
  stage: Stage,
  relay: System,
): Promise<{ readonly mail: GeneratorResult; readonly noop: GeneratorResult }> {
  const load = healthyLoad(stage);
  const probes = { ...load, messages: load.messages * 2 };
  const [mail, noop] = await Promise.all([
    generate(relay.port, load, 'open', { ratePerSecond: 50 }),
    generate(relay.port, probes, 'probe', { ratePerSecond: 100 }),
  ]);
  return { mail, noop };
}

async function allStalled(stage: Stage, sessions: number): Promise<void> {
  const deadline = performance.now() + FILL_TIMEOUT_MS;
  for (;;) {
    const counts = await stage.sinks['stuck.example'].ask<SinkCounts>('counts');
    if (counts.stalledRcpts >= sessions) {
      return;
    }
    if (performance.now() > deadline) {
      throw new Error(`only ${counts.stalledRcpts} of ${sessions} RCPTs reached the stuck MX`);
    }
    await sleep(100);
  }
}
