/** Runs tasks one after the other, in the order in which they came; a failed one holds up nobody. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** @throws what the task throws */
  run<Result>(task: () => Promise<Result>): Promise<Result> {
    const turn = this.#last.then(task);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
