/**
 * CPU for each message: the relay against R (one RSA-2048 signature) and against the floor
 * program, in pairs, so that a machine that slows down slows both.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SignatureKind } from '../bench-key.ts';
import { cpuMs } from '../proc-sample.ts';
import type { Check, Row } from '../row.ts';
import type { Stage } from '../stage.ts';
import { median } from '../statistics.ts';
import { type System, startFloor, startRelay } from '../systems.ts';
import {
  closedLoop,
  type Load,
  MESSAGES,
  type MessageSpec,
  signatureCpuMs,
  warmUp,
} from '../workload.ts';

interface CpuTarget {
  readonly against: 'R' | 'floor';
  readonly limit: number;
  readonly stretch: number;
}

interface Cell {
  readonly message: MessageSpec;
  readonly signature: SignatureKind;
  /** Messages of one measured run with 20 sessions. */
  readonly messages: number;
  readonly target: CpuTarget;
}

const CELLS: readonly Cell[] = [
  cell('1KB', 'rsa', 1500, { against: 'R', limit: 1.8, stretch: 1.5 }),
  cell('10KB', 'rsa', 1500, { against: 'R', limit: 1.8, stretch: 1.5 }),
  cell('100KB', 'rsa', 800, { against: 'R', limit: 2.8, stretch: 2.2 }),
  cell('1MB', 'rsa', 200, { against: 'floor', limit: 1.6, stretch: 1.3 }),
  cell('prose-1MB', 'rsa', 200, { against: 'floor', limit: 2.5, stretch: 1.6 }),
  cell('1KB', 'ed25519', 2000, { against: 'R', limit: 0.9, stretch: 0.6 }),
];

function cell(
  message: keyof typeof MESSAGES,
  signature: SignatureKind,
  messages: number,
  target: CpuTarget,
): Cell {
  return { message: MESSAGES[message], signature, messages, target };
}

/** Cost beyond 20 sessions may grow by this factor at most to count as flat. */
const FLAT = 1.25;

interface Sample {
  readonly perMessageMs: number;
  readonly messagesPerSecond: number;
}

interface Pair {
  readonly rMs: number;
  readonly floor: Sample;
  readonly relay: Sample | undefined;
}

/** Runs the table; `only` limits it to one message by name. */
export async function* cpuRows(
  stage: Stage,
  only: string | undefined,
  withRelay: boolean,
): AsyncGenerator<Row> {
  const relay = withRelay ? await startRelay(stage) : undefined;
  if (relay !== undefined) await warmUp(stage, relay.port);
  for (const each of CELLS) {
    if (only !== undefined && only !== each.message.name) {
      continue;
    }
    const floor = await startFloor(stage, each.signature);
    for (const sessions of [20, 1, 100]) {
      yield await cpuRow(stage, each, sessions, floor, relay);
    }
    await floor.stop();
  }
  if (relay !== undefined && (only === undefined || only === 'flat')) {
    yield await flatRow(stage, relay);
  }
  await relay?.stop();
}

async function cpuRow(
  stage: Stage,
  each: Cell,
  sessions: number,
  floor: System,
  relay: System | undefined,
): Promise<Row> {
  const load: Load = {
    message: each.message,
    sessions,
    messages: messageCount(each.messages, sessions, stage.quick),
    signature: each.signature,
    to: 'sink.example',
  };
  for (const system of [floor, relay]) {
    if (system !== undefined) {
      await closedLoop(stage, system.port, load);
    }
  }
  const pairs: Pair[] = [];
  for (let i = 0; i < (stage.quick ? 1 : 3); i += 1) {
    pairs.push({
      rMs: await signatureCpuMs('rsa', stage.quick),
      floor: await measure(stage, floor, load),
      relay: relay === undefined ? undefined : await measure(stage, relay, load),
    });
  }
  return summarise(each, sessions, pairs);
}

function messageCount(full: number, sessions: number, quick: boolean): number {
  const perSessions = sessions === 1 ? full / 3 : full;
  return Math.max(sessions, Math.ceil(quick ? perSessions / 10 : perSessions));
}

async function measure(stage: Stage, system: System, load: Load): Promise<Sample> {
  const before = await cpuMs(system.pid);
  const messagesPerSecond = await closedLoop(stage, system.port, load);
  // What a system does after its last reply (the log record) belongs to the message too.
  await sleep(100);
  const perMessageMs = ((await cpuMs(system.pid)) - before) / load.messages;
  return { perMessageMs, messagesPerSecond };
}

function summarise(each: Cell, sessions: number, pairs: readonly Pair[]): Row {
  const middle = (pick: (pair: Pair) => number): number => median(pairs.map(pick));
  const figures: Record<string, number> = {
    rMs: middle((pair) => pair.rMs),
    floorCpuMs: middle((pair) => pair.floor.perMessageMs),
    floorTimesR: middle((pair) => pair.floor.perMessageMs / pair.rMs),
    floorPerSecond: middle((pair) => pair.floor.messagesPerSecond),
  };
  const checks: Check[] = [];
  if (pairs[0]?.relay !== undefined) {
    const relayMs = (pair: Pair): number => pair.relay?.perMessageMs ?? Number.NaN;
    figures.relayCpuMs = middle(relayMs);
    figures.timesR = middle((pair) => relayMs(pair) / pair.rMs);
    figures.timesFloor = middle((pair) => relayMs(pair) / pair.floor.perMessageMs);
    figures.perSecond = middle((pair) => pair.relay?.messagesPerSecond ?? Number.NaN);
    if (sessions === 20) {
      const { against, limit, stretch } = each.target;
      const value = against === 'R' ? figures.timesR : figures.timesFloor;
      const what = 'CPU per message';
      checks.push({ what, value, unit: `× ${against}`, limit, stretch, kind: 'at-most' });
    }
  }
  const name = `${each.message.name} ${each.signature} ${sessions} session${sessions === 1 ? '' : 's'}`;
  return { group: 'cpu', name, figures, checks };
}

/** The cost of 1 KB with 1,000 sessions beside the cost with 20. */
async function flatRow(stage: Stage, relay: System): Promise<Row> {
  const few: Load = {
    message: MESSAGES['1KB'],
    sessions: 20,
    messages: stage.quick ? 300 : 3000,
    signature: 'rsa',
    to: 'sink.example',
  };
  const sessions = stage.quick ? 100 : 1000;
  const many = { ...few, sessions, messages: stage.quick ? 1000 : 20_000 };
  const withFew = await measure(stage, relay, few);
  const withMany = await measure(stage, relay, many);
  const value = withMany.perMessageMs / withFew.perMessageMs;
  return {
    group: 'cpu',
    name: `flat in sessions (1KB, ${sessions} against 20)`,
    figures: { cpuMs20: withFew.perMessageMs, cpuMsMany: withMany.perMessageMs },
    checks: [{ what: 'growth', value, unit: '×', limit: FLAT, kind: 'at-most' }],
  };
}
