/** Not a figure but a condition: what the other rows measure is signed mail that arrives. */
import type { SignatureKind } from '../bench-key.ts';
import type { Row } from '../row.ts';
import type { SinkCounts } from '../sink.ts';
import type { Stage } from '../stage.ts';
import { startRelay } from '../systems.ts';
import { generate, MESSAGES } from '../workload.ts';

/** Throws unless every message arrives once and carries a DKIM-Signature. */
export async function* signedRows(stage: Stage): AsyncGenerator<Row> {
  const relay = await startRelay(stage);
  const sink = stage.sinks['counted.example'];
  await sink.ask('reset');
  const names = ['1KB', '10KB', '100KB', '1MB', 'prose-1MB'] as const;
  const kinds: readonly SignatureKind[] = ['rsa', 'ed25519'];
  for (const signature of kinds) {
    for (const name of names) {
      const load = { message: MESSAGES[name], sessions: 2, messages: 4, signature };
      await generate(relay.port, { ...load, to: 'counted.example' }, 'closed');
    }
  }
  await relay.stop();
  const { messages, signed } = await sink.ask<SinkCounts>('counts');
  const sent = names.length * kinds.length * 4;
  if (messages !== sent || signed !== sent) {
    throw new Error(`${sent} messages were sent, ${messages} arrived, ${signed} were signed`);
  }
  yield {
    group: 'signed',
    name: 'every message arrives signed',
    figures: { sent, signed },
    checks: [],
  };
}
