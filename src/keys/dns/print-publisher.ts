import { zoneLine } from '../key-record.ts';
import { BY_HAND, type Publisher, type PublishResult, type RecordChange } from './publisher.ts';

/** Writes nothing, and says to a person what to write. */
export class PrintPublisher implements Publisher {
  readonly name = BY_HAND;

  async apply(changes: readonly RecordChange[], signal?: AbortSignal): Promise<PublishResult> {
    signal?.throwIfAborted();
    return { kind: 'by-hand', instructions: changes.map(instruction).join('\n') };
  }

  close(): void {
    // Nothing is open.
  }
}

function instruction(change: RecordChange): string {
  const { name, type, ttlS, before, after } = change;
  const old = before === undefined ? [] : [`  ${line(change, before.ttlS, before.value)}`];
  if (after === undefined) return ['Remove from the zone:', ...old, ''].join('\n');
  const fresh = `  ${line(change, ttlS, after)}`;
  const intro =
    before === undefined
      ? ['Add to the zone:']
      : old[0] === fresh
        ? ['In the zone there must be:']
        : ['In the zone, replace:', ...old, 'by:'];
  return [
    ...intro,
    fresh,
    'or in the web form of a DNS provider (one value, not split; some want the name without the domain):',
    `  Name:  ${name}`,
    `  Type:  ${type}`,
    `  TTL:   ${ttlS}`,
    `  Value: ${after}`,
    '',
  ].join('\n');
}

function line({ name, type }: RecordChange, ttlS: number, value: string): string {
  return type === 'TXT'
    ? zoneLine(name, ttlS, value)
    : `${name}. ${ttlS} IN CNAME ${value.replace(/\.$/, '')}.`;
}
