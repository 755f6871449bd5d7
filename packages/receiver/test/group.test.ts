import { expect, test } from "vitest";
import { createGroup } from "../src/group.ts";

test("a lone item goes at once; what comes meanwhile goes together, but never two of one key", async () => {
  const calls: string[][] = [];
  const group = createGroup<string, string>({
    most: 3,
    waitingMax: 100,
    keyOf: (item) => item.slice(0, 1),
    async run(items) {
      calls.push([...items]);
      await new Promise((resolve) => setImmediate(resolve));
      return items.map((item) => item.toUpperCase());
    },
  });
  const items = ["a1", "a2", "b1", "a3", "c1", "d1", "b2"];
  expect(await Promise.all(items.map(group.add))).toEqual(items.map((item) => item.toUpperCase()));
  expect(calls).toEqual([["a1"], ["a2", "b1", "c1"], ["a3", "d1", "b2"]]);
});
