/** A new client connection for each message, and so a new one to the MX. */
import { slowness, slownessNote } from '../reference.ts';
import type { Row } from '../row.ts';
import type { Stage } from '../stage.ts';
import { median } from '../statistics.ts';
import { startFloor, startRelay } from '../systems.ts';
import { closedLoop, type Load, MESSAGES, signatureCpuMs, warmUp } from '../workload.ts';

const TARGET_PER_SECOND = 2000;

/** 20 sessions, 1 KB. */
export async function* connectionRows(stage: Stage): AsyncGenerator<Row> {
  const relay = await startRelay(stage);
  const floor = await startFloor(stage, 'rsa');
  await warmUp(stage, relay.port);
  const load: Load = {
    message: MESSAGES['1KB'],
    sessions: 20,
    messages: stage.quick ? 200 : 2000,
    signature: 'rsa',
    to: 'sink.example',
  };
  await closedLoop(stage, relay.port, load, true);
  await closedLoop(stage, floor.port, load, true);
  const relayRates = [];
  const floorRates = [];
  const rs = [];
  for (let i = 0; i < (stage.quick ? 1 : 3); i += 1) {
    rs.push(await signatureCpuMs('rsa', stage.quick));
    floorRates.push(await closedLoop(stage, floor.port, load, true));
    relayRates.push(await closedLoop(stage, relay.port, load, true));
  }
  await relay.stop();
  await floor.stop();
  const perSecond = median(relayRates);
  const rMs = median(rs);
  const scaled = TARGET_PER_SECOND / slowness(rMs);
  yield {
    group: 'connections',
    name: '1KB, a connection for each message, 20 sessions',
    figures: {
      perSecond,
      floorPerSecond: median(floorRates),
      rMs,
      perSecondAsStated: TARGET_PER_SECOND,
    },
    checks: [{ what: 'messages', value: perSecond, unit: '/s', limit: scaled, kind: 'at-least' }],
    note: slownessNote(rMs),
  };
}
