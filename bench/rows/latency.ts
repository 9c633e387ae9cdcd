/** Latency that the relay adds, in an open loop of 50 messages a second with pipelined envelopes. */
import { slowness, slownessNote } from '../reference.ts';
import type { Row } from '../row.ts';
import { MX_ADDRESS, type Stage } from '../stage.ts';
import { median } from '../statistics.ts';
import { startRelay } from '../systems.ts';
import { generate, type Load, MESSAGES, signatureCpuMs, warmUp } from '../workload.ts';

const RATE_PER_SECOND = 50;

/** 1 KB and 100 KB; direct and relayed take turns. */
export async function* latencyRows(stage: Stage): AsyncGenerator<Row> {
  const relay = await startRelay(stage);
  await warmUp(stage, relay.port);
  for (const name of ['1KB', '100KB'] as const) {
    yield await latencyRow(stage, relay.port, name);
  }
  await relay.stop();
}

async function latencyRow(stage: Stage, port: number, name: '1KB' | '100KB'): Promise<Row> {
  const load: Load = {
    message: MESSAGES[name],
    sessions: 8,
    messages: stage.quick ? 100 : 500,
    signature: 'rsa',
    to: 'counted.example',
  };
  const open = { ratePerSecond: RATE_PER_SECOND };
  const toSink = { ...open, host: MX_ADDRESS['counted.example'] };
  await generate(port, { ...load, messages: 300 }, 'closed');
  const direct = [];
  const relayed = [];
  const rs = [];
  for (let i = 0; i < (stage.quick ? 1 : 3); i += 1) {
    rs.push(await signatureCpuMs('rsa', stage.quick));
    direct.push(await generate(stage.sinkPort, load, 'open', toSink));
    relayed.push(await generate(port, load, 'open', open));
  }
  const directP50Ms = median(direct.map((result) => result.p50Ms));
  const directP99Ms = median(direct.map((result) => result.p99Ms));
  const p50Ms = median(relayed.map((result) => result.p50Ms));
  const p99Ms = median(relayed.map((result) => result.p99Ms));
  const addedP50Ms = p50Ms - directP50Ms;
  const addedP99Ms = p99Ms - directP99Ms;
  const rMs = median(rs);
  const scale = slowness(rMs);
  return {
    group: 'latency',
    name: `${name} at ${RATE_PER_SECOND}/s`,
    figures: { directP50Ms, directP99Ms, p50Ms, p99Ms, addedP50Ms, addedP99Ms, rMs },
    checks: [
      { what: 'added p50', value: addedP50Ms, unit: 'ms', limit: 1.2 * scale, kind: 'at-most' },
      {
        what: 'added p99',
        value: addedP99Ms,
        unit: 'ms',
        limit: 5 * scale,
        stretch: 3 * scale,
        kind: 'at-most',
      },
    ],
    note: slownessNote(rMs),
  };
}
