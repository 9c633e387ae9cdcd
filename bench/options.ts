/** The command line of the bench. */
import { parseArgs } from 'node:util';

export interface RunOptions {
  /** Fewer and shorter runs: shows that everything works, measures badly. */
  readonly quick: boolean;
  /** Row groups to run; empty for all. */
  readonly only: readonly string[];
  /** Where the JSON result goes; standard output if undefined. */
  readonly jsonFile: string | undefined;
  /** `postfix`: smtp-source and smtp-sink where a row allows it; `own`: the programs of this folder. */
  readonly tools: 'auto' | 'own' | 'postfix';
  /** Measure the floor alone, without a built relay. */
  readonly floorOnly: boolean;
  /** The relay writes CPU profiles into this folder; its figures are then not to be quoted. */
  readonly profileDir: string | undefined;
}

export const USAGE = `Usage: npm run bench -- [options]
  --quick          about a minute: shows that everything works, measures badly
  --only ROWS      cpu, latency, connections, memory, round-trips, stalled, kms (comma-separated);
                   cpu:1KB limits the group to one message, kms:scale, kms:envelope and kms:sign
                   to these rows; kms:rotation is one of half an hour that is in no other run
  --json FILE      write the result there instead of to standard output
  --tools NAME     auto (default: postfix where installed), postfix (smtp-source, smtp-sink) or own
  --floor-only     measure R and the floor program; needs no built relay
  --cpu-prof DIR   the relay writes CPU profiles into DIR (see bench/profile.ts)
`;

/** Reads the command line; throws an Error that says what is wrong with it. */
export function parseRunOptions(args: readonly string[]): RunOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', default: '' },
      json: { type: 'string' },
      tools: { type: 'string', default: 'auto' },
      'floor-only': { type: 'boolean', default: false },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    return 'help';
  }
  const tools = values.tools;
  if (tools !== 'auto' && tools !== 'own' && tools !== 'postfix') {
    throw new Error(`--tools ${tools}: give auto, own or postfix`);
  }
  return {
    quick: values.quick,
    only: values.only === '' ? [] : values.only.split(','),
    jsonFile: values.json,
    tools,
    floorOnly: values['floor-only'],
    profileDir: values['cpu-prof'],
  };
}
