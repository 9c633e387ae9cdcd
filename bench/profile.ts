/**
 * Sums up CPU profiles (`--cpu-prof`): self time by function and by file, without the idle part.
 *
 *     node bench/profile.ts FILE.cpuprofile ...
 */
import { readFileSync } from 'node:fs';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
}

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const IDLE = new Set(['(idle)', '(program)', '(root)']);
const SHOWN = 40;

function sumUp(profile: CpuProfile): {
  byFunction: Map<string, number>;
  byFile: Map<string, number>;
} {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const byFunction = new Map<string, number>();
  const byFile = new Map<string, number>();
  profile.samples.forEach((id, index) => {
    const frame = nodes.get(id);
    const micros = profile.timeDeltas[index] ?? 0;
    if (frame === undefined || frame.functionName === '(idle)') {
      return;
    }
    const file = frame.url.replace(/^.*\/(node_modules|dist|bench)\//, '$1/') || 'native';
    const place = IDLE.has(frame.functionName) ? '' : ` ${file}:${frame.lineNumber + 1}`;
    const name = `${frame.functionName || '(anonymous)'}${place}`;
    byFunction.set(name, (byFunction.get(name) ?? 0) + micros);
    byFile.set(file, (byFile.get(file) ?? 0) + micros);
  });
  return { byFunction, byFile };
}

function print(title: string, sums: ReadonlyMap<string, number>): void {
  const total = [...sums.values()].reduce((sum, micros) => sum + micros, 0);
  process.stdout.write(`${title} (${(total / 1000).toFixed(0)} ms)\n`);
  for (const [name, micros] of [...sums].sort((a, b) => b[1] - a[1]).slice(0, SHOWN)) {
    process.stdout.write(`${((micros / total) * 100).toFixed(1).padStart(6)} %  ${name}\n`);
  }
}

for (const file of process.argv.slice(2)) {
  const { byFunction, byFile } = sumUp(JSON.parse(readFileSync(file, 'utf8')) as CpuProfile);
  print(`${file}: by file`, byFile);
  print(`${file}: by function`, byFunction);
}
