/**
 * Throws random input at every parser for a bounded time:
 * `npm run fuzz -- [--seconds N] [--seed N] [--only WORD]`. A failure prints the smallest input found
 * and the seed that finds it again; it then becomes a unit test.
 */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { dnsTargets } from './dns-targets.ts';
import { mailTargets } from './mail-targets.ts';
import { inputsFor } from './mutation.ts';
import { operatorTargets } from './operator-targets.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    only: { type: 'string', default: '' },
  },
});
const limitMs = Number(values.seconds) * 1000;
const seed = Number(values.seed);
if (!(limitMs > 0) || !Number.isInteger(seed)) throw new Error('--seconds and --seed are numbers');

const targets = [...mailTargets, ...operatorTargets, ...dnsTargets].filter(({ name }) =>
  name.includes(values.only),
);
let failures = targets.length === 0 ? 1 : 0;
process.stdout.write(`fuzz: ${targets.length} targets, ${values.seconds} s each, seed ${seed}\n`);
for (const target of targets) {
  const property = fc.property(inputsFor(target), (input) => target.check(input));
  const details = fc.check(property, {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: limitMs,
    markInterruptAsFailure: false,
  });
  const found = details.counterexample?.[0];
  if (found === undefined) {
    process.stdout.write(`fuzz: ${target.name}: ${details.numRuns} inputs, nothing found\n`);
    continue;
  }
  failures += 1;
  const { octets, cuts } = found;
  process.stdout.write(`fuzz: ${target.name}: FAILED with ${JSON.stringify(cuts)} as cuts of\n`);
  process.stdout.write(
    `${JSON.stringify(octets.toString('latin1'))}\n${String(details.errorInstance)}\n`,
  );
}
process.exitCode = failures > 0 ? 1 : 0;
