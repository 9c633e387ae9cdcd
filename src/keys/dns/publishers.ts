import { zoneLine } from '../key-record.ts';
import type { Publisher, RecordChange } from './publisher.ts';

/** The publisher of a domain: without any that writes, a person is told what to do. */
export function publisherFor(_domain: string): Publisher {
  return {
    name: 'print',
    apply: async (changes) => ({
      kind: 'by-hand',
      instructions: changes.map(instruction).join('\n'),
    }),
    close: () => {},
  };
}

function instruction(change: RecordChange): string {
  const { name, ttlS, before, after } = change;
  if (after === undefined) return `Remove the TXT record of ${name}.`;
  const verb = before === undefined ? 'Put' : 'Replace the record of that name by';
  return `${verb} this record into DNS:\n  ${zoneLine(name, ttlS, after)}`;
}
