/** Memory under load; a fresh relay for each row, so that no row inherits another's heap. */
import { setTimeout as sleep } from 'node:timers/promises';
import { memoryMiB, peakMemory } from '../proc-sample.ts';
import type { Check, Row } from '../row.ts';
import type { Stage } from '../stage.ts';
import { startRelay } from '../systems.ts';
import { generate, type Load, MESSAGES, type MessageSpec, warmUp } from '../workload.ts';

interface MemoryCase {
  readonly name: string;
  readonly message: MessageSpec;
  readonly sessions: number;
  readonly messages: number;
  readonly mode: 'closed' | 'held';
  /** Measured in the steady state; else from a fresh relay. */
  readonly steady: boolean;
  readonly check: (figures: Figures) => Check;
}

interface Figures extends Readonly<Record<string, number>> {
  /** After five messages. */
  readonly freshAnonymousMiB: number;
  readonly idleAnonymousMiB: number;
  readonly peakAnonymousMiB: number;
  readonly peakResidentMiB: number;
}

/** For the collector to come round. */
const SETTLE_MS = 8000;

const CASES: readonly MemoryCase[] = [
  {
    name: '100 sessions × 1KB',
    message: MESSAGES['1KB'],
    sessions: 100,
    messages: 5000,
    mode: 'closed',
    steady: true,
    check: (figures) => ({
      what: 'anonymous memory over idle',
      value: figures.peakAnonymousMiB - figures.idleAnonymousMiB,
      unit: 'MiB',
      limit: 40,
      kind: 'at-most',
    }),
  },
  {
    name: '100 sessions × 10MB',
    message: MESSAGES['10MB'],
    sessions: 100,
    messages: 200,
    mode: 'closed',
    steady: false,
    check: (figures) => ({
      what: 'anonymous memory',
      value: figures.peakAnonymousMiB,
      unit: 'MiB',
      limit: 128,
      stretch: 64,
      kind: 'at-most',
    }),
  },
  {
    name: '200 messages of 20MB held before their final dots',
    message: MESSAGES['20MB'],
    sessions: 200,
    messages: 200,
    mode: 'held',
    steady: false,
    check: (figures) => ({
      what: 'resident memory',
      value: figures.peakResidentMiB,
      unit: 'MiB',
      limit: 300,
      kind: 'at-most',
    }),
  },
];

/** Runs the cases; `--quick` takes a tenth of the messages. */
export async function* memoryRows(stage: Stage): AsyncGenerator<Row> {
  for (const each of CASES) {
    yield await memoryRow(stage, each);
  }
}

async function memoryRow(stage: Stage, each: MemoryCase): Promise<Row> {
  const relay = await startRelay(stage);
  const sessions = stage.quick ? each.sessions / 10 : each.sessions;
  const messages = stage.quick ? each.messages / 10 : each.messages;
  const load: Load = {
    message: each.message,
    sessions,
    messages,
    signature: 'rsa',
    to: 'counted.example',
  };
  await generate(
    relay.port,
    { ...load, message: MESSAGES['1KB'], sessions: 1, messages: 5 },
    'closed',
  );
  await sleep(500);
  const fresh = memoryMiB(relay.pid);
  if (each.steady) {
    await warmUp(stage, relay.port);
    await sleep(SETTLE_MS);
  }
  const idle = memoryMiB(relay.pid);
  const { peak, result } = await peakMemory(relay.pid, () => generate(relay.port, load, each.mode));
  await relay.stop();
  const figures: Figures = {
    freshAnonymousMiB: fresh.anonymous,
    idleAnonymousMiB: idle.anonymous,
    peakAnonymousMiB: peak.anonymous,
    peakResidentMiB: peak.resident,
    seconds: result.seconds,
  };
  const note = stage.quick ? { note: 'a tenth of the load (--quick)' } : {};
  return { group: 'memory', name: each.name, figures, checks: [each.check(figures)], ...note };
}
