import type { CliContext, WindowSize } from './context.ts';

/** Under lines that are broken; a narrow window has none to spare. */
const INDENT = 4;
const NARROW_COLUMNS = 40;

const CLEAR = '\u001b[2J';
const HOME = '\u001b[H';
const ERASE_LINE_END = '\u001b[K';
const ERASE_BELOW = '\u001b[J';

/**
 * A terminal on which the same text is drawn again and again (ECMA-48). Each time it is written over
 * the last one in one piece, so that nothing flickers and the screen is never empty. It fits the
 * window: long lines are broken at blanks, and what is below its end is left out and counted.
 */
export class LiveScreen {
  readonly #context: Pick<CliContext, 'stdout' | 'windowSize'>;
  #isCleared = false;

  constructor(context: Pick<CliContext, 'stdout' | 'windowSize'>) {
    this.#context = context;
  }

  /** True when these lines fill the window: more would not be seen. */
  isFilledBy(lines: readonly string[]): boolean {
    const { columns, rows } = this.#size();
    return lines.reduce((sum, line) => sum + broken(line, columns).length, 0) >= rows;
  }

  /** @param lines without control characters */
  draw(lines: readonly string[]): void {
    const { columns, rows } = this.#size();
    const all = lines.flatMap((line) => broken(line, columns));
    const shown = all.length < rows ? all : [...all.slice(0, rows - 2), MORE.slice(0, columns)];
    const text = shown.map((line) => `${line}${ERASE_LINE_END}\n`).join('');
    this.#context.stdout(`${this.#isCleared ? '' : CLEAR}${HOME}${text}${ERASE_BELOW}`);
    this.#isCleared = true;
  }

  /** A window that does not tell its size, as on a serial line, is taken for endless. */
  #size(): WindowSize {
    const { columns = 0, rows = 0 } = this.#context.windowSize?.() ?? {};
    return {
      columns: columns > 0 ? columns : Number.POSITIVE_INFINITY,
      rows: rows > 2 ? rows : Number.POSITIVE_INFINITY,
    };
  }
}

const MORE = '… more than fits: name a domain, or make the window larger';

/** A line in pieces that are no wider than the window. */
function broken(line: string, columns: number): readonly string[] {
  const lead = /^ */.exec(line)?.[0].length ?? 0;
  const indent = columns < NARROW_COLUMNS ? '' : ' '.repeat(Math.min(lead, 8) + INDENT);
  const pieces: string[] = [];
  let rest = line;
  while (rest.length > columns) {
    const blank = rest.lastIndexOf(' ', columns);
    const isWord = blank <= indent.length || rest.slice(0, blank).trim() === '';
    const end = isWord ? columns : blank;
    pieces.push(rest.slice(0, end).trimEnd());
    rest = `${indent}${rest.slice(end).trimStart()}`;
  }
  return [...pieces, rest];
}
