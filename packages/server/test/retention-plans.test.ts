import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { removeRequestsBefore } from "../src/inspector/inspector.ts";
import { agedBeginning, agedSessions, removeSessions } from "../src/lifecycle/aged.ts";
import { recordingsToRemove } from "../src/lifecycle/erase.ts";
import { eraseOutbox } from "../src/outbox/erase.ts";

// What retention and an erasure ask, beside a backlog: each statement goes by an index and looks at no more rows of a
// table than it is about. What is asserted are the plans and counts that PostgreSQL tells, not durations.

const backlog = 100_000;
const aged = 2_000;
const batch = 100;
/** A batch has so many sessions, with an event each. */
const rowsLookedAtMax = 3 * batch;

let database: TestDatabase;
let plans: Plan[] = [];
const before = new Date(Date.now() - 30 * 86_400_000);

interface Plan {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Rows Removed by Join Filter"?: number;
  readonly Plans?: readonly Plan[];
}

beforeAll(async () => {
  database = await createTestDatabase();
  const projectId = randomUUID();
  // Keys of young sessions are smaller than those of old ones: age does not follow them.
  await database.pool.query(
    `INSERT INTO sessions (session_key, project_id, session_id, version, channel, created_at, current_node_id,
       messages_count, extracted_variables, conversation_reported_at, conversation_ended_by, finalized_at)
     SELECT n, $1, 's-' || n, 1, 'text', at, 'end', 1, '{}', at, 'runtime', at
     FROM (SELECT n, now() - CASE WHEN n > ${backlog} THEN interval '40 days' ELSE interval '1 day' END AS at
       FROM generate_series(1, ${backlog + aged}) AS n) AS each`,
    [projectId],
  );
  await database.pool.query(
    `INSERT INTO events (event_id, session_key, project_id, event, webhook_id, payload, emitted_at, deliveries)
     SELECT session_key, session_key, project_id, 'session.ended', 'msg_' || session_key, '{}', created_at, 1 FROM sessions`,
  );
  await database.pool.query(
    `INSERT INTO deliveries (delivery_id, event_id, session_key, endpoint_id, in_lane, trigger, due_at)
     SELECT n, n, n, $1, true, 'live', now() FROM generate_series(1, ${backlog}) AS n`,
    [randomUUID()],
  );
  await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [projectId]);
  await database.pool.query(
    `WITH made AS (
       INSERT INTO inspectors (inspector_id, project_id, token_hash) VALUES ($1, $1, sha256('t')) RETURNING inspector_id)
     INSERT INTO inspector_requests (inspector_id, received_at, headers, body)
     SELECT inspector_id, now(), '{}', '' FROM made, generate_series(1, 5000)`,
    [projectId],
  );
  await database.pool.query("VACUUM ANALYZE");
});
afterAll(() => database.drop());

/** The pool, but what is asked of it is explained as well. It is done once, by the explaining, and answers nothing. */
const explaining = {
  async query(text: string, values?: unknown[]) {
    if (values === undefined) return database.pool.query(text);
    const { rows } = await database.pool.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values);
    plans.push(rows[0]["QUERY PLAN"][0].Plan);
    return { rows: [] };
  },
  async connect() {
    return { query: explaining.query, release() {} };
  },
} as unknown as pg.Pool;

interface Scan {
  readonly by: string;
  readonly table: string;
  readonly rows: number;
}

const scansOf = (plan: Plan): Scan[] => [
  ...(plan["Relation Name"] === undefined || !plan["Node Type"].includes("Scan")
    ? []
    : [
        {
          by: plan["Node Type"],
          table: plan["Relation Name"],
          rows: (plan["Actual Rows"] + (plan["Rows Removed by Filter"] ?? 0)) * plan["Actual Loops"],
        },
      ]),
  ...(plan.Plans ?? []).flatMap(scansOf),
];

/** Runs something and expects of all its statements that they look at few rows, by indexes. */
async function expectFewRows(act: (pool: pg.Pool) => Promise<unknown>): Promise<void> {
  plans = [];
  await act(explaining);
  expect(plans.length).toBeGreaterThan(0);
  for (const scan of plans.flatMap(scansOf)) {
    expect(scan.by, JSON.stringify(scan)).toMatch(/^Index (Only )?Scan$/);
    expect(scan.rows, JSON.stringify(scan)).toBeLessThanOrEqual(rowsLookedAtMax);
  }
}

test("what is past its age is found and removed by indexes, beside 100,000 deliveries", async () => {
  const { sessions } = await agedSessions(database.pool, agedBeginning, before, batch);
  const keys = sessions.filter(({ removable }) => removable).map(({ sessionKey }) => sessionKey);
  expect(keys.length).toBeGreaterThan(batch / 2);
  await expectFewRows((pool) => agedSessions(pool, agedBeginning, before, batch));
  await expectFewRows((pool) => removeSessions(pool, keys, before));
  const { rows } = await database.pool.query("SELECT count(*) AS left FROM sessions");
  expect(rows).toEqual([{ left: backlog + aged - keys.length }]);
});

test("an erasure, audio that is left and what the inspector got are found by indexes, too", async () => {
  await expectFewRows((pool) => eraseOutbox(pool as unknown as pg.ClientBase, 77));
  const { rows } = await database.pool.query("SELECT FROM deliveries WHERE session_key = 77");
  expect(rows.length).toBe(0);
  await expectFewRows((pool) => recordingsToRemove(pool, null));
  await expectFewRows((pool) => removeRequestsBefore(pool, before, batch));
});
