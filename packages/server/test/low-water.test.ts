import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { type Claimed, claimDue } from "../src/outbox/claim.ts";
import { findDue } from "../src/outbox/find.ts";
import { createLowWater } from "../src/outbox/low-water.ts";
import { conversationEnded, createTestIntake } from "./intake.ts";

let database: TestDatabase;
const projectId = randomUUID();
const endpointId = randomUUID();

beforeAll(async () => {
  database = await createTestDatabase();
  await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [projectId]);
  await database.pool.query(
    `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, events, timeout_ms)
     VALUES ($1, $2, 'agent', 'https://example.com/', 'sealed', '{session.ended}', 10000)`,
    [endpointId, projectId],
  );
});
afterAll(() => database.drop());

const claim = (since: ReadonlyMap<string, string>, limit = 10): Promise<Claimed> =>
  claimDue(database.pool, randomUUID(), "first", {
    limit,
    perEndpoint: 100,
    endpoints: [endpointId],
    since,
  });
const owe = (sessionId: string): Promise<unknown> =>
  createTestIntake(database.pool).apply(projectId, sessionId, conversationEnded("text"));
/** How long ago a moment is, in seconds. */
const secondsAgo = async (moment: string | undefined): Promise<number> => {
  const { rows } = await database.pool.query<{ ago: number }>(
    "SELECT extract(epoch FROM now() - $1::timestamptz)::float8 AS ago",
    [moment],
  );
  return rows[0]?.ago ?? Number.NaN;
};

describe("from where on deliveries wait", () => {
  test("a claim begins there, and tells where the next one may", async () => {
    await owe("first");
    const { claims, marks } = await claim(new Map());
    expect(claims).toHaveLength(1);
    // It has taken all that was due: what is due later than a second ago may still be committed.
    expect(await secondsAgo(marks[endpointId])).toBeCloseTo(1, 0);

    await owe("old");
    await database.pool.query(
      "UPDATE deliveries SET due_at = now() - interval '1 minute' WHERE state = 'pending'",
    );
    await owe("new");
    const from = new Map([[endpointId, marks[endpointId] as string]]);
    expect((await claim(from)).claims.map(({ sessionId }) => sessionId)).toEqual(["new"]);
    const all = await claim(new Map());
    expect(all.claims.map(({ sessionId }) => sessionId)).toEqual(["old"]);
  });

  test("a claim that leaves some tells of the last that it took", async () => {
    for (const sessionId of ["a", "b", "c"]) await owe(sessionId);
    await database.pool.query(
      "UPDATE deliveries SET due_at = due_at - interval '1 hour' WHERE state = 'pending'",
    );
    const { claims, marks, unfinished } = await claim(new Map(), 2);
    expect(claims.map(({ sessionId }) => sessionId)).toEqual(["a", "b"]);
    expect(unfinished).toEqual([endpointId]);
    expect(await secondsAgo(marks[endpointId])).toBeCloseTo(3_601, 0);
    const next = await claim(new Map([[endpointId, marks[endpointId] as string]]));
    expect(next.claims.map(({ sessionId }) => sessionId)).toEqual(["c"]);
  });

  test("what is left before a mark is found by the look that goes before them, and by no other", async () => {
    await owe("left");
    await database.pool.query("UPDATE deliveries SET due_at = '2026-01-01' WHERE state = 'pending'");
    const marks = new Map([[endpointId, "2026-02-01"]]);
    const nothing = { endpoints: [], beforeMark: new Map(), last: null };
    expect(await findDue(database.pool, "first", { perEndpoint: 10, marks })).toMatchObject(nothing);
    const { endpoints, beforeMark } = await findDue(database.pool, "first", {
      perEndpoint: 10,
      marks,
      beforeMarks: true,
    });
    expect(endpoints).toEqual([endpointId]);
    // Without a moment the claim would begin at the mark and find nothing.
    expect([...beforeMark]).toEqual([[endpointId, "2026-01-01T00:00:00+00:00"]]);
    const { claims } = await claim(beforeMark);
    expect(claims.map(({ sessionId }) => sessionId)).toEqual(["left"]);
    expect(
      await findDue(database.pool, "first", { perEndpoint: 10, marks, beforeMarks: true }),
    ).toMatchObject(nothing);
  });

  test("the look goes by the endpoints with a mark and by those between them", async () => {
    const others = Array.from({ length: 5 }, () => randomUUID()).sort();
    await database.pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, events, timeout_ms)
       SELECT id, $1, 'project', 'https://example.com/' || id, 'sealed', '{session.ended}', 10000 FROM unnest($2::uuid[]) AS id`,
      [projectId, others],
    );
    await owe("everywhere");
    const all = [endpointId, ...others].sort();
    for (const marked of [[], [all[0]], [all[1], all[3]], [all[5]], all] as string[][]) {
      const marks = new Map(marked.map((endpoint) => [endpoint, "2026-01-01"]));
      const { endpoints } = await findDue(database.pool, "first", { perEndpoint: 10, marks });
      expect(endpoints, `${marked}`).toEqual(all);
      const behind = await findDue(database.pool, "first", {
        perEndpoint: 10,
        marks,
        after: all[2] as string,
      });
      expect(behind.endpoints, `${marked}`).toEqual(all.slice(3));
    }
  });

  test("who knows how many are in flight is believed, and the table is not asked", async () => {
    await owe("known");
    const at = (first: number, again = 0) => ({
      limit: 10,
      perEndpoint: 8,
      endpoints: [endpointId],
      inFlight: () => ({ first, again }),
    });
    const look = async (first: number, again = 0): Promise<string[]> =>
      (await findDue(database.pool, "first", at(first, again))).endpoints;
    expect(await look(8)).not.toContain(endpointId);
    expect(await look(3, 5)).not.toContain(endpointId);
    expect(await look(7)).toContain(endpointId);
    const full = await claimDue(database.pool, randomUUID(), "first", at(3, 5));
    expect(full).toMatchObject({ claims: [], emptied: [] });
    // More are in flight than that by the table.
    const { claims } = await claimDue(database.pool, randomUUID(), "first", at(0));
    expect(claims.map(({ sessionId }) => sessionId)).toContain("known");
  });

  test("a mark that was lowered while a claim was under way stays there", () => {
    const lowWater = createLowWater();
    const of = (): Record<string, string> => Object.fromEntries(lowWater.of(["one", "two"]));
    lowWater.lower("one", "9:00");
    expect(of()).toEqual({});
    lowWater.reached(lowWater.of(["one"]), { one: "10:00" });
    const from = lowWater.of(["one", "two"]);
    lowWater.lower("one", "9:30");
    lowWater.reached(from, { one: "10:05", two: "10:05" });
    expect(of()).toEqual({ one: "9:30", two: "10:05" });
    lowWater.reached(lowWater.of(["one"]), { one: "10:10" });
    expect(of()).toEqual({ one: "10:10", two: "10:05" });
    lowWater.reached(new Map(), { first: "10:11" });
    expect(lowWater.inOrder()).toEqual([
      ["first", "10:11"],
      ["one", "10:10"],
      ["two", "10:05"],
    ]);
    lowWater.forget();
    expect(of()).toEqual({});
  });
});
