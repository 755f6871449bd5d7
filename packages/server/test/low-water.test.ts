import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { systemClock } from "../src/clock.ts";
import { type Claimed, claimDue } from "../src/outbox/claim.ts";
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
    // It has taken all that was due: what is due later than two seconds ago may still be committed.
    expect(await secondsAgo(marks[endpointId])).toBeCloseTo(2, 0);

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
    expect(await secondsAgo(marks[endpointId])).toBeCloseTo(3_602, 0);
    const next = await claim(new Map([[endpointId, marks[endpointId] as string]]));
    expect(next.claims.map(({ sessionId }) => sessionId)).toEqual(["c"]);
  });

  test("a mark is believed for five seconds, and so are those that rest on it", () => {
    let nowMs = 0;
    const lowWater = createLowWater({ ...systemClock, monotonicMs: () => nowMs });
    const of = (): Record<string, string> => Object.fromEntries(lowWater.of(["one", "two"]));
    const reach = (mark: string): void => lowWater.reached(lowWater.of(["one"]), { one: mark });
    expect(of()).toEqual({});
    reach("10:00");
    nowMs = 4_000;
    reach("10:04");
    expect(of()).toEqual({ one: "10:04" });
    nowMs = 5_000;
    expect(of()).toEqual({});
    reach("10:05");
    nowMs = 9_999;
    expect(of()).toEqual({ one: "10:05" });
  });
});
