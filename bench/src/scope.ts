/** Things to end when a run ends, in the opposite order of their start. */
export class Scope {
  readonly #ends: Array<() => Promise<void> | void> = [];

  add(end: () => Promise<void> | void): void {
    this.#ends.push(end);
  }

  /**
   * Ends everything that was added; what fails to end does not keep the rest from ending. May be called again for what
   * was just being started at the first time.
   */
  async end(): Promise<void> {
    for (let end = this.#ends.pop(); end !== undefined; end = this.#ends.pop()) {
      try {
        await end();
      } catch (error) {
        process.stderr.write(`\nSomething could not be ended: ${String(error)}\n`);
      }
    }
  }
}
