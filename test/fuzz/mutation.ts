import fc from 'fast-check';

/** What a fuzz target is given: octets, and places at which to cut them into chunks. */
export interface FuzzInput {
  readonly octets: Buffer;
  readonly cuts: readonly number[];
}

/** A parser and what must hold for any input. */
export interface FuzzTarget {
  readonly name: string;
  /** Good inputs to start from, and pieces that mean something to the parser. */
  readonly seeds: readonly string[];
  readonly words: readonly string[];
  /** Throws when something does not hold. */
  check(input: FuzzInput): void;
}

/** Inputs for a target: seeds with random edits, and now and then pure noise. */
export function inputsFor(target: FuzzTarget): fc.Arbitrary<FuzzInput> {
  const word = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...target.words).map(latin1) },
    { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 8 }).map(Buffer.from) },
  );
  const edit = fc.record({
    at: fc.nat(100_000),
    remove: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(40)),
    insert: word,
    times: fc.oneof({ weight: 6, arbitrary: fc.constant(1) }, fc.nat(300)),
  });
  const edited = fc
    .tuple(fc.constantFrom(...target.seeds), fc.array(edit, { maxLength: 8 }))
    .map(([seed, edits]) => edits.reduce(applyEdit, latin1(seed)));
  const noise = fc.array(word, { maxLength: 60 }).map((words) => Buffer.concat(words));
  return fc.record({
    octets: fc.oneof({ weight: 3, arbitrary: edited }, { weight: 1, arbitrary: noise }),
    cuts: fc.array(fc.nat(5000), { maxLength: 8 }),
  });
}

/** Fresh copies of the chunks, since some parsers own what they are given. */
export function chunksOf({ octets, cuts }: FuzzInput): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (octets.length + 1)))].sort((a, b) => a - b);
  const starts = [0, ...places];
  return starts.map((start, index) => Buffer.from(octets.subarray(start, starts[index + 1])));
}

interface Edit {
  readonly at: number;
  readonly remove: number;
  readonly insert: Buffer;
  readonly times: number;
}

function applyEdit(octets: Buffer, { at, remove, insert, times }: Edit): Buffer {
  const place = at % (octets.length + 1);
  const inserted = Array<Buffer>(times).fill(insert);
  return Buffer.concat([octets.subarray(0, place), ...inserted, octets.subarray(place + remove)]);
}

function latin1(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
