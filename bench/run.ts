/** `npm run bench`: sets the stage, runs the rows, prints a table (stderr) and JSON (stdout). */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { killAll, stopAll } from './children.ts';
import { parseRunOptions, type RunOptions, USAGE } from './options.ts';
import { formatRow, passes, type Row } from './row.ts';
import { connectionRows } from './rows/connections.ts';
import { cpuRows } from './rows/cpu.ts';
import { kmsRows } from './rows/kms.ts';
import { latencyRows } from './rows/latency.ts';
import { memoryRows } from './rows/memory.ts';
import { roundTripRows } from './rows/round-trips.ts';
import { signedRows } from './rows/signed.ts';
import { stalledRows } from './rows/stalled.ts';
import { type Stage, setStage } from './stage.ts';
import { checkBuild } from './systems.ts';

type RowGroup = (stage: Stage, only: string | undefined) => AsyncGenerator<Row>;

const GROUPS: Readonly<Record<string, RowGroup>> = {
  signed: signedRows,
  cpu: (stage, only) => cpuRows(stage, only, true),
  latency: latencyRows,
  connections: connectionRows,
  'round-trips': roundTripRows,
  memory: memoryRows,
  stalled: stalledRows,
  kms: kmsRows,
};

const FLOOR_GROUPS: Readonly<Record<string, RowGroup>> = {
  cpu: (stage, only) => cpuRows(stage, only, false),
};

/** The groups to run, each with what stands after its colon in `--only`. */
function chosenGroups(options: RunOptions): [RowGroup, string | undefined][] {
  const groups = options.floorOnly ? FLOOR_GROUPS : GROUPS;
  const wanted = options.only.length > 0 ? options.only : Object.keys(groups);
  return wanted.map((word) => {
    const [name = '', detail] = word.split(':');
    const group = groups[name];
    if (group === undefined) {
      throw new Error(`--only ${name}: there are ${Object.keys(groups).join(', ')}`);
    }
    return [group, detail];
  });
}

async function runRows(options: RunOptions, workDir: string): Promise<Row[]> {
  const rows: Row[] = [];
  const groups = chosenGroups(options);
  const stage = await setStage(workDir, options);
  for (const [group, detail] of groups) {
    for await (const row of group(stage, detail)) {
      rows.push(row);
      process.stderr.write(`${formatRow(row)}\n`);
    }
  }
  return rows;
}

function machine(): Record<string, unknown> {
  return {
    node: process.version,
    kernel: release(),
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    loadAverage: loadavg()[0],
  };
}

async function main(): Promise<void> {
  const options = parseRunOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(USAGE);
    return;
  }
  if (!options.floorOnly) {
    await checkBuild();
  }
  if (options.profileDir !== undefined) {
    await mkdir(options.profileDir, { recursive: true });
  }
  const before = machine();
  process.stderr.write(`${JSON.stringify(before)}\n`);
  const workDir = await mkdtemp(join(tmpdir(), 'waxseal-bench-'));
  process.once('exit', () => {
    killAll();
    rmSync(workDir, { recursive: true, force: true });
  });
  const started = performance.now();
  try {
    const rows = await runRows(options, workDir);
    const checks = rows.flatMap((row) => row.checks);
    const missed = checks.filter((check) => !passes(check)).length;
    const seconds = (performance.now() - started) / 1000;
    const result = { machine: before, quick: options.quick, seconds, missed, rows };
    process.stderr.write(`${checks.length - missed} of ${checks.length} targets met\n`);
    const json = `${JSON.stringify(result, null, 2)}\n`;
    if (options.jsonFile === undefined) {
      process.stdout.write(json);
    } else {
      await writeFile(options.jsonFile, json);
    }
  } finally {
    await stopAll();
  }
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(1));
}
main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
