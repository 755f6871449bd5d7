/**
 * Gathers what comes while a call is running and gives it to the next call together. A lone item goes at once.
 *
 * @param most items in a call.
 */
export function byNeed<Item>(
  most: number,
  work: (items: readonly Item[]) => Promise<unknown>,
): (item: Item) => Promise<void> {
  const waiting: Array<{ item: Item; resolve: () => void; reject: (error: unknown) => void }> = [];
  let working = false;
  const next = async (): Promise<void> => {
    working = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, most);
      try {
        await work(batch.map(({ item }) => item));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    working = false;
  };
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (!working) void next();
    });
}
