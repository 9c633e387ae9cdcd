import { StringDecoder } from 'node:string_decoder';
import type { ReadStream } from 'node:tty';
import { WaxsealError } from '../base/errors.ts';

/** Standard input, as commands may use it. */
export interface CliInput {
  /** True when a person types. */
  readonly isTty: boolean;
  /**
   * Reads all of it.
   *
   * @throws WaxsealError `input-too-big` for more than `maxBytes` octets
   */
  readAll(maxBytes: number): Promise<Buffer>;
  /**
   * Asks a person for a line that is not shown while it is typed.
   *
   * @param prompt written to standard error
   * @throws WaxsealError `interrupted` on Ctrl-C or the end of input
   */
  readSecret(prompt: string): Promise<string>;
}

/** Standard input of the process. */
export function processInput(stdin: ReadStream, stderr: (text: string) => void): CliInput {
  return {
    isTty: stdin.isTTY === true,
    readAll: (maxBytes) => readAll(stdin, maxBytes),
    readSecret: async (prompt) => {
      stderr(prompt);
      stdin.setRawMode(true);
      try {
        return await readHiddenLine(stdin);
      } finally {
        stdin.setRawMode(false);
        stderr('\n');
      }
    },
  };
}

async function readAll(stdin: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stdin) {
    length += piece.length;
    if (length > maxBytes) {
      throw new WaxsealError('input-too-big', `Standard input is over ${maxBytes} octets`);
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const ENTER = new Set(['\r', '\n']);
const CANCEL = new Set(['\u0003', '\u0004']);
const ERASE = new Set(['\u007f', '\b']);

/** In raw mode the terminal neither shows nor edits, so erasing is done here. */
function readHiddenLine(stdin: ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const decoder = new StringDecoder('utf8');
    let line: readonly string[] = [];
    const stop = (settle: () => void): void => {
      stdin.off('data', onData);
      stdin.off('end', onEnd);
      stdin.pause();
      settle();
    };
    const onEnd = (): void => {
      stop(() => reject(new WaxsealError('interrupted', 'No password was given')));
    };
    const onData = (data: Buffer): void => {
      const characters = [...decoder.write(data)];
      for (const [index, character] of characters.entries()) {
        if (CANCEL.has(character)) {
          onEnd();
          return;
        }
        if (ENTER.has(character)) {
          const typed = line.join('');
          stop(() => resolve(typed));
          // What was typed ahead belongs to the next question.
          const rest = characters.slice(index + 1).join('');
          if (rest !== '') stdin.unshift(Buffer.from(rest, 'utf8'));
          return;
        }
        line = ERASE.has(character) ? line.slice(0, -1) : [...line, character];
      }
    };
    stdin.on('data', onData);
    stdin.once('end', onEnd);
    stdin.resume();
  });
}
