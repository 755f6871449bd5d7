/** Lets large pieces of work run one after another, with a look at everything else in between. */
export interface Turns {
  /**
   * Waits for a turn. Whoever gets it does its work at once; the next turn begins when the event loop has been round.
   *
   * @param owner whose work it is: owners take turns, whatever each of them has waiting.
   */
  take(owner: string): Promise<void>;
}

/**
 * Turns for what holds the event loop for milliseconds. Without them the loop would do all that has come in one go: sixteen
 * bodies of 1 MiB at once keep every other request waiting for sixteen times as long as one of them takes.
 */
export function createTurns(): Turns {
  // A Map keeps the order: the owner whose turn it was goes to the end.
  const waiting = new Map<string, Array<() => void>>();
  let running = false;
  const next = (): void => {
    const [first] = waiting;
    if (first === undefined) {
      running = false;
      return;
    }
    const [owner, starts] = first;
    waiting.delete(owner);
    const start = starts.shift();
    if (starts.length > 0) waiting.set(owner, starts);
    start?.();
    setImmediate(next);
  };
  return {
    take: (owner) =>
      new Promise((resolve) => {
        const starts = waiting.get(owner);
        if (starts === undefined) waiting.set(owner, [resolve]);
        else starts.push(resolve);
        if (running) return;
        running = true;
        setImmediate(next);
      }),
  };
}
