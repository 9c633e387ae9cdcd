/**
 * Keys in KMS beside keys in files: CPU for each message, and latency. The KMS is the one of the
 * tests, a process of its own, with 5 and 20 ms for a signature and no request quotas.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { startProgram } from '../children.ts';
import type { KmsCostOptions } from '../kms-cost.ts';
import { type KmsRelay, startKmsRelay } from '../kms-relay.ts';
import type { KmsRotationOptions, RotationFigures } from '../kms-rotation.ts';
import { startWithManyDomains } from '../kms-scale.ts';
import { cpuMs } from '../proc-sample.ts';
import type { Row } from '../row.ts';
import type { Stage } from '../stage.ts';
import { median } from '../statistics.ts';
import { type System, startRelay } from '../systems.ts';
import { closedLoop, generate, type Load, MESSAGES, signatureCpuMs, warmUp } from '../workload.ts';

/** A wrapped key signs in memory, so nothing but noise may lie between it and a key in a file. */
const ENVELOPE_FACTOR = 1.05;
/** Of fresh processes. */
const ENVELOPE_ROUNDS = 5;
/** What kms-sign may cost beyond the SDK's call, in place of R. */
const SIGN_EXTRA_MS = 0.1;
/** What it may take beyond the KMS, beside a key in a file. */
const SIGN_ADDED_MS = 2;
const RATE_PER_SECOND = 50;
const SESSIONS = [20, 200];
const LONGEST_COST_MS = 240_000;
const LONGEST_ROTATION_MS = 7_200_000;
const SIGN_LATENCIES_MS = [5, 20] as const;

/**
 * @param only `scale`, `envelope` or `sign`: these rows and no others; `rotation`: one that takes half
 *   an hour and is in no other run
 */
export async function* kmsRows(stage: Stage, only?: string): AsyncGenerator<Row> {
  if (only === 'rotation') yield await rotationRow(stage);
  const wanted = (part: string) => only === undefined || only === part;
  if (wanted('scale')) yield await scaleRow(stage);
  if (wanted('envelope')) yield* envelopeRows(stage);
  if (!wanted('sign')) return;
  const file = await startRelay(stage);
  await warmUp(stage, file.port, ['rsa']);
  yield* signRows(stage, file);
  await file.stop();
}

/**
 * Two processes that run the same code differ by a tenth, by what V8 made of it as they warmed up, and
 * go on to differ as long as they live. So several of each are started, and the median counts.
 */
async function* envelopeRows(stage: Stage): AsyncGenerator<Row> {
  const measured = new Map<number, EnvelopePair[]>(SESSIONS.map((sessions) => [sessions, []]));
  for (let round = 0; round < (stage.quick ? 1 : ENVELOPE_ROUNDS); round += 1) {
    const file = await startRelay(stage);
    const envelope = await startKmsRelay(stage, 'kms-envelope');
    for (const { port } of [file, envelope]) await warmUp(stage, port, ['rsa']);
    for (const [sessions, pairs] of measured) {
      pairs.push(...(await envelopePairs(stage, file, envelope, sessions)));
    }
    await envelope.stop();
    await file.stop();
  }
  for (const [sessions, pairs] of measured) yield envelopeRow(sessions, pairs);
}

async function* signRows(stage: Stage, file: System): AsyncGenerator<Row> {
  const sign = await startKmsRelay(stage, 'kms-sign');
  await warmUp(stage, sign.port, ['rsa']);
  for (const signMs of SIGN_LATENCIES_MS) {
    await sign.setSignMs(signMs);
    for (const sessions of SESSIONS) yield await signRow(stage, file, sign, signMs, sessions);
    yield await latencyRow(stage, file, sign, signMs);
  }
  await sign.stop();
}

async function scaleRow(stage: Stage): Promise<Row> {
  const domains = stage.quick ? 500 : 10_000;
  const { throttled, ...figures } = await startWithManyDomains(stage, domains);
  return {
    group: 'kms',
    name: `start with ${domains} kms-envelope domains`,
    figures: { ...figures, throttled },
    checks: [
      { what: 'calls over the quotas', value: throttled, unit: '', limit: 0, kind: 'at-most' },
    ],
  };
}

async function rotationRow(stage: Stage): Promise<Row> {
  const domains = stage.quick ? 100 : 10_000;
  const options: KmsRotationOptions = { domains };
  const child = startProgram('./kms-rotation.ts', options);
  const { rotated, ...figures } = await child.next<RotationFigures>(LONGEST_ROTATION_MS);
  await child.exited;
  return {
    group: 'kms',
    name: `rotation of ${domains} kms-envelope domains`,
    figures: { ...figures },
    checks: [
      { what: 'not rotated', value: domains - rotated, unit: '', limit: 0, kind: 'at-most' },
      { what: 'over the quotas', value: figures.throttled, unit: '', limit: 0, kind: 'at-most' },
    ],
  };
}

interface EnvelopePair {
  readonly fileMs: number;
  readonly envelopeMs: number;
}

async function envelopePairs(
  stage: Stage,
  file: System,
  envelope: System,
  sessions: number,
): Promise<readonly EnvelopePair[]> {
  const load = loadOf(stage, sessions);
  const measurePair = async () => ({
    fileMs: (await measure(stage, file, load)).cpu,
    envelopeMs: (await measure(stage, envelope, load)).cpu,
  });
  return await pairsOf(stage, measurePair, [file, envelope], load);
}

function envelopeRow(sessions: number, pairs: readonly EnvelopePair[]): Row {
  const ratios = pairs.map(({ fileMs, envelopeMs }) => envelopeMs / fileMs);
  return {
    group: 'kms',
    name: `kms-envelope, ${sessions} sessions`,
    figures: {
      fileCpuMs: median(pairs.map(({ fileMs }) => fileMs)),
      envelopeCpuMs: median(pairs.map(({ envelopeMs }) => envelopeMs)),
      lowestRatio: Math.min(...ratios),
      highestRatio: Math.max(...ratios),
    },
    checks: [
      {
        what: 'CPU per message',
        value: median(ratios),
        unit: '× file',
        limit: ENVELOPE_FACTOR,
        kind: 'at-most',
      },
    ],
  };
}

async function signRow(
  stage: Stage,
  file: System,
  sign: KmsRelay,
  signMs: number,
  sessions: number,
): Promise<Row> {
  const load = loadOf(stage, sessions);
  const pairs = await pairsOf(
    stage,
    async () => {
      const rMs = await signatureCpuMs('rsa', stage.quick);
      const { cpuMs: sdkMs } = await sdkCost(stage, sign);
      const fromFile = await measure(stage, file, load);
      const fromKms = await measure(stage, sign, load);
      return { rMs, sdkMs, fromFile, fromKms };
    },
    [file, sign],
    load,
  );
  const extra = ({ rMs, sdkMs, fromFile, fromKms }: (typeof pairs)[number]) =>
    fromKms.cpu - (fromFile.cpu - rMs) - sdkMs;
  return {
    group: 'kms',
    name: `kms-sign at ${signMs} ms, ${sessions} sessions`,
    figures: {
      rMs: median(pairs.map(({ rMs }) => rMs)),
      sdkSignMs: median(pairs.map(({ sdkMs }) => sdkMs)),
      fileCpuMs: median(pairs.map(({ fromFile }) => fromFile.cpu)),
      signCpuMs: median(pairs.map(({ fromKms }) => fromKms.cpu)),
      filePerSecond: median(pairs.map(({ fromFile }) => fromFile.perSecond)),
      signPerSecond: median(pairs.map(({ fromKms }) => fromKms.perSecond)),
    },
    checks: [
      {
        what: 'CPU beyond the SDK, in place of R',
        value: median(pairs.map(extra)),
        unit: 'ms',
        limit: SIGN_EXTRA_MS,
        kind: 'at-most',
      },
    ],
  };
}

async function latencyRow(
  stage: Stage,
  file: System,
  sign: KmsRelay,
  signMs: number,
): Promise<Row> {
  const load: Load = {
    ...loadOf(stage, 8),
    messages: stage.quick ? 100 : 500,
    to: 'counted.example',
  };
  const open = { ratePerSecond: RATE_PER_SECOND };
  const pairs = await pairsOf(
    stage,
    async () => ({
      kmsP50Ms: (await sdkCost(stage, sign)).p50Ms,
      file: await generate(file.port, load, 'open', open),
      sign: await generate(sign.port, load, 'open', open),
    }),
    [file, sign],
    load,
  );
  const added = median(pairs.map((pair) => pair.sign.p50Ms - pair.file.p50Ms - pair.kmsP50Ms));
  return {
    group: 'kms',
    name: `kms-sign at ${signMs} ms, latency at ${RATE_PER_SECOND}/s`,
    figures: {
      kmsP50Ms: median(pairs.map((pair) => pair.kmsP50Ms)),
      fileP50Ms: median(pairs.map((pair) => pair.file.p50Ms)),
      signP50Ms: median(pairs.map((pair) => pair.sign.p50Ms)),
      signP99Ms: median(pairs.map((pair) => pair.sign.p99Ms)),
    },
    checks: [
      {
        what: 'added p50 beyond the KMS',
        value: added,
        unit: 'ms',
        limit: SIGN_ADDED_MS,
        kind: 'at-most',
      },
    ],
  };
}

/** Warms the systems up, then measures in pairs, so that a machine that slows down slows both. */
async function pairsOf<Pair>(
  stage: Stage,
  measurePair: () => Promise<Pair>,
  systems: readonly System[],
  load: Load,
): Promise<Pair[]> {
  for (const { port } of systems) {
    await closedLoop(stage, port, {
      ...load,
      to: 'sink.example',
    });
  }
  const pairs: Pair[] = [];
  for (let count = 0; count < (stage.quick ? 1 : 3); count += 1) pairs.push(await measurePair());
  return pairs;
}

function loadOf(stage: Stage, sessions: number): Load {
  return {
    message: MESSAGES['10KB'],
    sessions,
    messages: Math.max(sessions, stage.quick ? 200 : 1500),
    signature: 'rsa',
    to: 'sink.example',
  };
}

async function measure(
  stage: Stage,
  system: System,
  load: Load,
): Promise<{ readonly cpu: number; readonly perSecond: number }> {
  const before = await cpuMs(system.pid);
  const perSecond = await closedLoop(stage, system.port, load);
  await sleep(100);
  return { cpu: ((await cpuMs(system.pid)) - before) / load.messages, perSecond };
}

/** What Sign alone costs, against the same KMS. */
async function sdkCost(
  stage: Stage,
  { endpoint, arn }: KmsRelay,
): Promise<{ readonly cpuMs: number; readonly p50Ms: number }> {
  const options: KmsCostOptions = {
    endpoint,
    arn,
    count: stage.quick ? 300 : 2000,
    warmUp: stage.quick ? 1000 : 4000,
    ratePerSecond: RATE_PER_SECOND,
  };
  const child = startProgram('./kms-cost.ts', options);
  const cost = await child.next<{ cpuMs: number; p50Ms: number }>(LONGEST_COST_MS);
  await child.exited;
  return cost;
}
