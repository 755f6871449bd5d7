// What bodies of one owner, and of all, take of memory and of the event loop.
import { expect, test } from "vitest";
import { createRequestBounds } from "../src/http/request-bounds.ts";
import { createTurns } from "../src/http/turns.ts";
import { createMetrics } from "../src/metrics.ts";

const mib = 1024 * 1024;

test("an owner has 16 MiB of bodies at a time and all have 64 MiB, and what was released can be taken again", async () => {
  const metrics = createMetrics();
  const bounds = createRequestBounds(metrics);
  const first = bounds.share("a");
  for (let n = 0; n < 16; n++) expect(first.takeBody(mib)).toBe(null);
  expect(bounds.share("a").takeBody(1)).toMatchObject({
    code: "rate_limited",
    headers: { connection: "close", "retry-after": "1" },
    message: expect.stringContaining("16 MiB"),
  });
  for (const owner of ["b", "c", "d"]) expect(bounds.share(owner).takeBody(16 * mib)).toBe(null);
  expect(bounds.share("e").takeBody(1)).toMatchObject({
    code: "overloaded",
    headers: { connection: "close", "retry-after": "1" },
    message: expect.stringContaining("64 MiB"),
  });
  first.releaseBody();
  first.releaseBody();
  expect(bounds.share("e").takeBody(16 * mib)).toBe(null);
  expect(bounds.share("a").takeBody(1)).toMatchObject({ code: "overloaded" });
  expect(await metrics.registry.metrics()).toContain('sendoff_requests_limited_total{limit="body"} 3');
});

test("owners take turns, and between two of them twice the time of the first belongs to everything else", async () => {
  const turns = createTurns();
  const done: Array<{ readonly owner: string; readonly begunMs: number }> = [];
  const workMs = 20;
  const work = (owner: string): Promise<void> =>
    turns.run(owner, () => {
      const begunMs = performance.now();
      done.push({ owner, begunMs });
      while (performance.now() - begunMs < workMs);
    });
  await Promise.all([...Array.from({ length: 4 }, () => work("many")), work("one"), work("two")]);
  expect(done.map(({ owner }) => owner)).toEqual(["many", "one", "two", "many", "many", "many"]);
  for (const [index, { begunMs }] of done.slice(1).entries()) {
    // A timer may be a millisecond early.
    expect(begunMs - (done[index]?.begunMs ?? 0)).toBeGreaterThanOrEqual(3 * workMs - 2);
  }
});

test("work that fails in its turn is told of, and the next one has its turn", async () => {
  const turns = createTurns();
  const failed = turns.run("a", () => {
    throw new Error("broken");
  });
  const next = turns.run("a", () => "done");
  await expect(failed).rejects.toThrow("broken");
  expect(await next).toBe("done");
});
