/** Calls that are gathered while one is under way. */
export interface Group<Item, Result> {
  /** @throws what `run` throws. @throws GroupFull */
  add(item: Item): Promise<Result>;
}

/** More wait than there is room for. */
export class GroupFull extends Error {
  override readonly name = "GroupFull";
}

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly key: string;
  resolve(result: Result): void;
  reject(error: unknown): void;
}

export interface GroupOptions<Item, Result> {
  /** Most items of one call. */
  readonly most: number;
  /** Most items that wait. */
  readonly waitingMax: number;
  /** Two items of one key are never in one call. */
  keyOf(item: Item): string;
  /** Answers a result for each item, in order. */
  run(items: readonly Item[]): Promise<readonly Result[]>;
}

/**
 * Gathers by need, not by a timer: a lone item goes at once, and what comes while a call is under way goes together when
 * it ends. So an idle receiver answers at once and a busy one pays for one commit for many events.
 */
export function createGroup<Item, Result>(options: GroupOptions<Item, Result>): Group<Item, Result> {
  const waiting: Waiting<Item, Result>[] = [];
  let isUnderWay = false;

  const next = async (): Promise<void> => {
    isUnderWay = true;
    while (waiting.length > 0) {
      const batch = take();
      try {
        settle(batch, await options.run(batch.map(({ item }) => item)));
      } catch (error) {
        await oneByOne(batch, error);
      }
    }
    isUnderWay = false;
  };
  const take = (): Waiting<Item, Result>[] => {
    const keys = new Set<string>();
    const batch: Waiting<Item, Result>[] = [];
    const later: Waiting<Item, Result>[] = [];
    for (const entry of waiting) {
      if (batch.length < options.most && !keys.has(entry.key)) {
        keys.add(entry.key);
        batch.push(entry);
      } else {
        later.push(entry);
      }
    }
    waiting.splice(0, waiting.length, ...later);
    return batch;
  };
  const settle = (batch: readonly Waiting<Item, Result>[], results: readonly Result[]): void => {
    batch.forEach((entry, index) => {
      entry.resolve(results[index] as Result);
    });
  };
  /** One item that cannot be stored must not take the others with it. */
  const oneByOne = async (batch: readonly Waiting<Item, Result>[], error: unknown): Promise<void> => {
    if (batch.length === 1) {
      batch[0]?.reject(error);
      return;
    }
    for (const entry of batch) {
      try {
        settle([entry], await options.run([entry.item]));
      } catch (itsError) {
        entry.reject(itsError);
      }
    }
  };

  return {
    add: (item) =>
      new Promise((resolve, reject) => {
        if (waiting.length >= options.waitingMax) {
          reject(new GroupFull(`${waiting.length} items wait already`));
          return;
        }
        waiting.push({ item, key: options.keyOf(item), resolve, reject });
        if (!isUnderWay) void next();
      }),
  };
}
