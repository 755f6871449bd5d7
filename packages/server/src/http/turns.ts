/** Does pieces of work that hold the event loop for milliseconds one after another, with time for everything else between. */
export interface Turns {
  /**
   * Does work when its turn has come.
   *
   * @param owner whose work it is: owners take turns, whatever each of them has waiting.
   */
  run<Result>(owner: string, work: () => Result): Promise<Result>;
}

/** After each piece of work as many times as long as it took belong to everything else. */
const restFactor = 2;
/** A timer is no finer than this, in milliseconds. */
const restMinMs = 1;

/**
 * Without turns the loop would do all that has come in one go: sixteen bodies of 1 MiB at once keep every other request
 * waiting for sixteen times as long as one takes. With turns alone each round of the loop would have one of them, and what
 * needs ten rounds would wait for ten.
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
    const [owner, pieces] = first;
    waiting.delete(owner);
    const piece = pieces.shift();
    if (pieces.length > 0) waiting.set(owner, pieces);
    const begunMs = performance.now();
    piece?.();
    const restMs = restFactor * (performance.now() - begunMs);
    if (restMs < restMinMs) setImmediate(next);
    else setTimeout(next, restMs);
  };
  return {
    run: (owner, work) =>
      new Promise((resolve, reject) => {
        const piece = (): void => {
          try {
            resolve(work());
          } catch (error) {
            reject(error);
          }
        };
        const pieces = waiting.get(owner);
        if (pieces === undefined) waiting.set(owner, [piece]);
        else pieces.push(piece);
        if (running) return;
        running = true;
        setImmediate(next);
      }),
  };
}
