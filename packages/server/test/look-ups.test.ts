// Look-ups of what strangers send: the right one is found whatever else comes, and the database has few statements of it.
import { expect, test } from "vitest";
import { Refusal } from "../src/refusal.ts";
import { createLookUps } from "../src/tenancy/look-ups.ts";

/** Look-ups over a set of right names, which note each statement. */
function lookUpsOf(right: readonly string[]) {
  const statements: Array<readonly string[]> = [];
  const lookUps = createLookUps(async (names) => {
    statements.push(names);
    return new Map(names.filter((name) => right.includes(name)).map((name) => [name, `found ${name}`]));
  });
  return { lookUps, statements };
}

test("names that come at the same moment are looked up by one statement, one name once", async () => {
  const { lookUps, statements } = lookUpsOf(["a"]);
  const answers = await Promise.all(["a", "b", "a", "c"].map((name) => lookUps.find(name, "here")));
  expect(answers).toEqual(["found a", null, "found a", null]);
  expect(statements.map((names) => [...names].sort())).toEqual([["a", "b", "c"]]);
});

test("a wrong name is not asked for again, a right one is", async () => {
  const { lookUps, statements } = lookUpsOf(["a"]);
  for (let n = 0; n < 3; n++) await lookUps.find("wrong", "here");
  for (let n = 0; n < 3; n++) await lookUps.find("a", "here");
  expect(statements).toEqual([["wrong"], ["a"], ["a"], ["a"]]);
});

test("addresses take turns: one name waits for no more than a statement, whatever another address sends", async () => {
  const { lookUps, statements } = lookUpsOf(["right"]);
  const flood = Array.from({ length: 500 }, (_, n) => lookUps.find(`wrong-${n}`, "attacker"));
  const more = Array.from({ length: 400 }, (_, n) => lookUps.find(`other-${n}`, "another attacker"));
  expect(await lookUps.find("right", "neighbour")).toBe("found right");
  expect(statements.length).toBe(1);
  await Promise.all([...flood, ...more]);
  expect(statements.length).toBe(2);
});

test("a right name is found beside wrong ones of its own address, until too many of them wait", async () => {
  const { lookUps } = lookUpsOf(["right"]);
  const wrong = Array.from({ length: 499 }, (_, n) => lookUps.find(`wrong-${n}`, "nat"));
  expect(await lookUps.find("right", "nat")).toBe("found right");
  await Promise.all(wrong);
  const many = Array.from({ length: 600 }, (_, n) =>
    lookUps.find(`more-${n}`, "nat").catch((error: unknown) => error),
  );
  const refused = (await Promise.all(many)).filter((answer) => answer instanceof Refusal);
  expect(refused.length).toBe(100);
  expect(refused[0]).toMatchObject({ code: "rate_limited", headers: { "retry-after": "1" } });
});

test("a statement that fails is no answer: the name is asked for again", async () => {
  let broken = true;
  const lookUps = createLookUps(async (names) => {
    if (broken) throw new Error("no database");
    return new Map(names.map((name) => [name, true]));
  });
  await expect(lookUps.find("a", "here")).rejects.toThrow("no database");
  broken = false;
  expect(await lookUps.find("a", "here")).toBe(true);
});

test("20,000 wrong names within a second are at most 45 statements", async () => {
  const { lookUps, statements } = lookUpsOf([]);
  const begunMs = performance.now();
  for (let round = 0; round < 40; round++) {
    await Promise.all(Array.from({ length: 500 }, (_, n) => lookUps.find(`${round}-${n}`, "attacker")));
  }
  const seconds = (performance.now() - begunMs) / 1_000;
  expect(statements.length).toBeLessThanOrEqual(45 * Math.max(1, seconds));
});
