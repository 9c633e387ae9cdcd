import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';

/** Commands handled in one go before other sessions get their turn. */
const MAX_COMMANDS_A_TURN = 100;
/** Input that waits behind a command; then the socket is not read. */
const BUFFER_BYTES = 64 * 1024;
const CRLF = '\r\n';
const CR = 13;
const NOTHING = Buffer.alloc(0);

/** What became of a chunk of content. */
export interface ContentStep {
  /** What follows the end of the content, once it was seen: the next command. */
  readonly rest: Buffer | undefined;
  /** Set when the next chunk has to wait. */
  readonly wait: Promise<void> | undefined;
}

/** What the reader tells its session. */
export interface CommandReaderEvents {
  /** A command line without its CRLF; `done` asks for the next one. */
  readonly command: (line: Buffer, done: () => void) => void;
  /** A line was over its limit and has been dropped to its end. */
  readonly overlong: (done: () => void) => void;
  /** A chunk of content, after `startContent`. */
  readonly content: (chunk: Buffer) => ContentStep;
  /** The end of the content was seen; `done` asks for the next command. */
  readonly contentEnded: (done: () => void) => void;
  /** All input is used up: the client has to send more. */
  readonly starved: () => void;
  /** All input is used up and no more will come. */
  readonly ended: () => void;
  /** Longest line in octets that may come now; asked with the beginning of a long one. */
  readonly lineLimit: (line: Buffer) => number;
}

/**
 * What the reader expects next. `discard`: the rest of a line that is too long; `busy`: a handler
 * has the last command and has not asked for the next; `turn`: waits for its turn.
 */
type State = 'command' | 'discard' | 'content' | 'busy' | 'turn';

/**
 * Cuts the client's octets into commands and content. Only CRLF ends a command (RFC 5321 section
 * 2.3.8), so a CR or LF within one stays in it and is refused by its parser. Takes the place of
 * smtp-server's own stream, which ends lines at a bare LF, copies content and turns to the event
 * loop for every line that starts with a dot.
 */
export class CommandReader extends SMTPStream {
  readonly #events: CommandReaderEvents;
  #state: State = 'command';
  #afterBusy: State = 'command';
  #input: Buffer = NOTHING;
  /** Where to look for the next CRLF. */
  #scanned = 0;
  #next: (() => void) | undefined;

  constructor(events: CommandReaderEvents) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#events = events;
  }

  /** What follows is content; to be called while a command is handled. */
  startContent(): void {
    this.#afterBusy = 'content';
  }

  override _write(chunk: Buffer, _encoding: string, next: () => void): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk]);
    this.#next = next;
    this.#run();
  }

  /** Runs at the end of input; a line without CRLF there is no command. */
  override _flushData(): void {
    this.#events.ended();
  }

  #run(): void {
    let commands = 0;
    while (!this.isClosed) {
      switch (this.#state) {
        case 'busy':
        case 'turn':
          return;
        case 'content':
          if (!this.#content()) return;
          break;
        default:
          if (!this.#line()) {
            this.#wantMore();
            return;
          }
          commands += 1;
          if (commands >= MAX_COMMANDS_A_TURN && this.#state === 'command') {
            this.#pause();
            return;
          }
      }
    }
    this.#input = NOTHING;
    this.#wantMore();
  }

  /** Other sessions' turn; also lets replies leave before more are made. */
  #pause(): void {
    this.#state = 'turn';
    setImmediate(() => {
      this.#state = 'command';
      this.#run();
    });
  }

  #wantMore(): void {
    const next = this.#next;
    if (next === undefined) return;
    this.#next = undefined;
    if (!this.isClosed) this.#events.starved();
    next();
  }

  /** Takes the next line out of the input. @returns false if it has none */
  #line(): boolean {
    const input = this.#input;
    const end = input.indexOf(CRLF, this.#scanned);
    if (end < 0) {
      this.#keepPart(input);
      return false;
    }
    this.#input = input.subarray(end + 2);
    this.#scanned = 0;
    if (this.#state === 'discard' || end > this.#events.lineLimit(input)) {
      this.#handle((done) => this.#events.overlong(done));
    } else {
      this.#handle((done) => this.#events.command(input.subarray(0, end), done));
    }
    return true;
  }

  /** Keeps an unfinished line, or, if it is too long already, just a CR that may end it. */
  #keepPart(input: Buffer): void {
    const endsInCr = input.length > 0 && input[input.length - 1] === CR;
    if (this.#state === 'command' && input.length > this.#events.lineLimit(input) + 1) {
      this.#state = 'discard';
    }
    if (this.#state === 'discard') this.#input = endsInCr ? Buffer.from('\r') : NOTHING;
    this.#scanned = Math.max(0, this.#input.length - 1);
  }

  /** @returns false if the input is used up or the session asks to wait */
  #content(): boolean {
    const chunk = this.#input;
    if (chunk.length === 0) {
      this.#wantMore();
      return false;
    }
    this.#input = NOTHING;
    const { rest, wait } = this.#events.content(chunk);
    if (rest !== undefined) this.#input = rest;
    if (wait === undefined) return this.#contentTaken(rest !== undefined);
    this.#state = 'busy';
    void wait.then(() => {
      this.#state = 'content';
      this.#contentTaken(rest !== undefined);
      this.#run();
    });
    return false;
  }

  #contentTaken(ended: boolean): true {
    if (ended) this.#handle((done) => this.#events.contentEnded(done));
    return true;
  }

  /** Runs a handler; it may ask for more at once or later. */
  #handle(handler: (done: () => void) => void): void {
    this.#state = 'busy';
    this.#afterBusy = 'command';
    let atOnce = true;
    handler(() => {
      if (this.#state !== 'busy') return;
      this.#state = this.#afterBusy;
      if (!atOnce) this.#run();
    });
    atOnce = false;
  }
}
