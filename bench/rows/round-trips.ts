/** 50 pipelined RCPTs on an open leg to an MX that is 50 ms away. */
import type { Row } from '../row.ts';
import { FAR_MS, type Stage } from '../stage.ts';
import { startRelay } from '../systems.ts';
import { generate, type Load, MESSAGES } from '../workload.ts';

const RECIPIENTS = 50;

/** From the first RCPT's way out to the last RCPT's reply, in round trips to the MX. */
export async function* roundTripRows(stage: Stage): AsyncGenerator<Row> {
  const relay = await startRelay(stage);
  const load: Load = {
    message: MESSAGES['1KB'],
    sessions: 1,
    messages: stage.quick ? 3 : 9,
    signature: 'rsa',
    to: 'far.example',
  };
  const result = await generate(relay.port, load, 'recipients', { recipients: RECIPIENTS });
  await relay.stop();
  // A started round trip counts; a quarter of one is left for the work at both ends.
  const roundTrips = Math.ceil(result.p50Ms / FAR_MS - 0.25);
  yield {
    group: 'round-trips',
    name: `${RECIPIENTS} pipelined RCPTs, MX ${FAR_MS} ms away`,
    figures: { p50Ms: result.p50Ms, p99Ms: result.p99Ms },
    checks: [
      { what: 'round trips', value: roundTrips, unit: '', limit: 3, stretch: 2, kind: 'at-most' },
    ],
  };
}
