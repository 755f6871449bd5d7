import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { until } from "../../../test/until.ts";
import { createPool } from "../src/database/pool.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import { watchDeadlines } from "../src/lifecycle/deadlines.ts";
import type { Report } from "../src/lifecycle/session.ts";
import { createLog } from "../src/log.ts";
import { ensureLogPartitions } from "../src/logbook/partitions.ts";
import { type Claim, claimDue } from "../src/outbox/claim.ts";
import { findDue } from "../src/outbox/find.ts";
import { bringUp } from "../src/outbox/lane.ts";
import { release } from "../src/outbox/release.ts";
import { settle } from "../src/outbox/settle.ts";
import { takeOver } from "../src/outbox/takeover.ts";
import { countStep } from "../src/overview/count.ts";
import { conversationEnded, createTestIntake, deliveredResult } from "./intake.ts";

// Each statement of the path of a delivery, on tables of a million rows: it goes by its index, and looks at no more rows
// than it is about. What is asserted are the plans and counts that PostgreSQL tells (auto_explain), not durations.

const rowsOfEach = 1_000_000;
const deadEndpoints = 50;
/** Of a batch of some 20 sessions no statement may look at more rows of a table than this. */
const rowsLookedAtMax = 600;

let database: TestDatabase;
let pool: pg.Pool;
let intake: ReportIntake;
const workerId = randomUUID();
const projectId = randomUUID();
const healthy = randomUUID();
const dead = Array.from({ length: deadEndpoints }, () => randomUUID());

interface Scan {
  readonly table: string;
  readonly by: string;
  readonly rows: number;
  /** What leads through the index. */
  readonly condition: string;
}
/** What the statements since the last look have scanned. */
let scans: Scan[] = [];

interface Plan {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Index Cond"?: string;
  readonly "Actual Rows"?: number;
  readonly "Actual Loops"?: number;
  readonly "Rows Removed by Filter"?: number;
  readonly Plans?: readonly Plan[];
}

function scansOf(plan: Plan): Scan[] {
  const below = (plan.Plans ?? []).flatMap(scansOf);
  const table = plan["Relation Name"];
  const loops = plan["Actual Loops"] ?? 0;
  // What a plan holds ready and did not run has looked at nothing.
  if (table === undefined || loops === 0 || !plan["Node Type"].includes("Scan")) return below;
  const each = (plan["Actual Rows"] ?? 0) + (plan["Rows Removed by Filter"] ?? 0);
  const by = plan["Index Name"] ?? plan["Node Type"];
  return [{ table, by, rows: Math.round(each * loops), condition: plan["Index Cond"] ?? "" }, ...below];
}

function note({ message }: { message?: string | undefined }): void {
  const json = /^duration: .* plan:\n([\s\S]*)$/.exec(message ?? "")?.[1];
  if (json !== undefined) scans.push(...scansOf((JSON.parse(json) as { Plan: Plan }).Plan));
}

beforeAll(async () => {
  database = await createTestDatabase();
  await ensureLogPartitions(database.pool);
  await addEndpoints(database.pool);
  await explainAll(database.pool);
  pool = createPool({ connectionString: database.url }, createLog("silent"), "path");
  pool.on("connect", (client) => void client.on("notice", note));
  intake = createTestIntake(pool, {
    handover: {
      workerId,
      reserve: () => true,
      begin: (claim) => claimed.push(claim),
      cancel: () => {},
      follow: (commit) => commit,
    },
  });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** Connections that are made from now on tell the plan of each statement, with what it looked at. */
async function explainAll(on: pg.Pool): Promise<void> {
  const settings = {
    session_preload_libraries: "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    client_min_messages: "log",
  };
  const { rows } = await on.query<{ name: string }>("SELECT current_database() AS name");
  for (const [name, value] of Object.entries(settings)) {
    await on.query(`ALTER DATABASE "${rows[0]?.name}" SET ${name} = '${value}'`);
  }
}

async function addEndpoints(on: pg.Pool): Promise<void> {
  await on.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [projectId]);
  await on.query(
    `INSERT INTO endpoints (endpoint_id, project_id, kind, url, events, secret_sealed, timeout_ms)
     SELECT id, $1, CASE WHEN position = 1 THEN 'agent' ELSE 'project' END, 'https://e.example/' || position,
       CASE WHEN position = 1 THEN '{session.ended,session.finalized}'::text[] ELSE '{recording.ready}' END, 's', 10000
     FROM unnest($2::uuid[]) WITH ORDINALITY AS each (id, position)`,
    [projectId, [healthy, ...dead]],
  );
  // Below are the ids of the rows that are filled in.
  await on.query("SELECT setval('drawn_ids', $1)", [rowsOfEach + 1]);
}

/** A million sessions, each with an event that is owed to a dead endpoint, and with a row of the log. */
async function fill(on: pg.Pool): Promise<void> {
  const client = await on.connect();
  // One statement a table takes some seconds; the pool's limit is for statements of milliseconds.
  await client.query("SET statement_timeout = 0");
  const run = (text: string, values: unknown[] = []): Promise<unknown> =>
    client.query({ text, values, query_timeout: 300_000 } as never);
  await run(
    `INSERT INTO sessions (session_key, project_id, session_id, version, channel, created_at, current_node_id,
       messages_count, extracted_variables, conversation_reported_at, conversation_ended_by, finalized_at, deadline_at)
     SELECT n, $1, 'old-' || n, 1, 'text', now() - n * interval '1 second', 'end', 1, '{}',
       CASE WHEN n % 10 > 0 THEN now() END, CASE WHEN n % 10 > 0 THEN 'runtime' END, CASE WHEN n % 10 > 0 THEN now() END,
       CASE WHEN n % 10 = 0 THEN now() + interval '1 hour' END
     FROM generate_series(1, ${rowsOfEach}) AS n`,
    [projectId],
  );
  await run(
    `INSERT INTO events (event_id, session_key, project_id, event, webhook_id, payload, emitted_at, deliveries)
     SELECT n * 8, n, $1, 'session.ended', 'msg_' || n, '{}', now() - n * interval '1 second', 1
     FROM generate_series(1, ${rowsOfEach}) AS n`,
    [projectId],
  );
  await run(
    `INSERT INTO deliveries (delivery_id, event_id, session_key, endpoint_id, in_lane, trigger, attempts, due_at)
     SELECT n * 256, n * 8, n, ($1::uuid[])[n % ${deadEndpoints} + 1], true, 'live', n / ${deadEndpoints} % 2,
       now() - n * interval '1 millisecond'
     FROM generate_series(1, ${rowsOfEach}) AS n`,
    [dead],
  );
  await run(
    `INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id,
       endpoint_id, url, attempt, trigger, outcome, attempted_at)
     SELECT $1, n, 'old-' || n, n * 8, 'session.ended', 'msg_' || n, n * 256, $2, 'https://e.example/', 1, 'live',
       'timed_out', now()
     FROM generate_series(1, ${rowsOfEach}) AS n`,
    [projectId, dead[0]],
  );
  client.release();
}

const claimed: Claim[] = [];

const ended = conversationEnded("text");

/** Runs something and tells which index led it to which table, each once, in the order of names. */
async function waysOf(act: () => Promise<unknown>): Promise<string[]> {
  scans = [];
  await act();
  // Notices come before the answer, but are handled after it now and then.
  await until("the plan is told", () => scans.length > 0);
  const big = scans.filter(({ table }) => /^(sessions|events|deliveries|webhook_logs)/.test(table));
  for (const scan of big) {
    expect(scan.rows, JSON.stringify(scan)).toBeLessThan(rowsLookedAtMax);
    // By its endpoint alone it would go through all that waits there.
    if (scan.by === "deliveries_lane") expect(scan.condition).toContain("session_key");
  }
  return [...new Set(big.map(({ table, by }) => `${table} by ${by}`))].sort();
}

/** Plans that were made of other tables than those of now are forgotten. */
const discardPlans = (): Promise<unknown> =>
  Promise.all(Array.from({ length: pool.totalCount }, () => pool.query("DISCARD PLANS")));

let number = 0;
const report = (): Promise<unknown> =>
  Promise.all(Array.from({ length: 20 }, () => intake.apply(projectId, `new-${number++}`, ended)));

/** Settles what was claimed; at the healthy endpoint the first two claim the next of their lanes, elsewhere all do. */
async function settleAll(claims: readonly Claim[]): Promise<void> {
  const batch = claims.map((claim, index) => ({
    claim,
    result: deliveredResult,
    recordingUrl: null,
    next: { kind: "settled", as: "delivered" } as const,
    claimsNext: index < 2 || claim.endpointId !== healthy,
  }));
  expect((await settle(pool, workerId, batch)).claims).toHaveLength(2);
}
const waysOfSettling = [
  "deliveries by deliveries_lane",
  "deliveries by deliveries_pkey",
  "events by events_pkey",
  "sessions by sessions_pkey",
];
const waysOfClaiming = [
  "deliveries by deliveries_due_first",
  "deliveries by deliveries_in_flight",
  "deliveries by deliveries_lane",
  "deliveries by deliveries_pkey",
  "events by events_pkey",
  "sessions by sessions_pkey",
];

// A process keeps the plan that it made when it began, until the table's statistics change.
test("on empty tables outcomes are stored and claims made as on full ones", async () => {
  await report();
  expect(await waysOf(() => settleAll(claimed.splice(0)))).toEqual(waysOfSettling);
  const room = { limit: 20, perEndpoint: 20, endpoints: [healthy] };
  let claims: Claim[] = [];
  const ways = await waysOf(async () => {
    ({ claims } = await claimDue(pool, workerId, "first", room));
  });
  expect(claims.length).toBeGreaterThan(10);
  expect(ways).toEqual(waysOfClaiming);
});

const tables = ["sessions", "events", "deliveries"];

async function fillUnseen(): Promise<void> {
  // Else it may be analyzed in the midst of it, while the machine is busy with other tests.
  for (const table of tables) {
    await database.pool.query(`ALTER TABLE ${table} SET (autovacuum_enabled = off)`);
  }
  await fill(database.pool);
}

async function analyze(): Promise<void> {
  const client = await database.pool.connect();
  await client.query("SET statement_timeout = 0");
  await client.query({ text: "ANALYZE", query_timeout: 300_000 } as never);
  client.release();
}

/** What a vacuum leaves that came by when nothing was owed: pages there were, but no row in them. */
const takeForIdle = (): Promise<unknown> =>
  database.pool.query("UPDATE pg_class SET reltuples = 0 WHERE relname = 'deliveries'");

/** The same of a vacuum of a new installation. */
const takeForNew = (): Promise<unknown> =>
  database.pool.query("UPDATE pg_class SET reltuples = 0, relpages = 0 WHERE relname = ANY ($1)", [tables]);

describe.each([
  ["never analyzed", fillUnseen],
  ["analyzed", analyze],
  ["vacuumed when nothing was owed", takeForIdle],
  ["vacuumed when there was nothing at all", takeForNew],
])("on tables of a million rows that were %s", (state, prepare) => {
  beforeAll(async () => {
    await prepare();
    await discardPlans();
  }, 240_000);

  test("a batch of reports reads sessions by their ids, and looks at no delivery of a new one", async () => {
    expect(await waysOf(report)).toEqual(["sessions by one_session_per_id"]);
    expect(claimed.length).toBeGreaterThanOrEqual(20);
  });

  test("a report of a session that is there looks at its lane alone", async () => {
    const created: Report = { type: "created", channel: "text", variables: null, startNodeId: null };
    await intake.apply(projectId, `open-${state.length}`, created);
    const ways = await waysOf(() => intake.apply(projectId, `open-${state.length}`, ended));
    expect(ways).toEqual(["deliveries by deliveries_lane", "sessions by one_session_per_id"]);
  });

  test("outcomes are stored by the deliveries' ids and their lanes, also where twenty thousand wait", async () => {
    const room = { limit: 4, perEndpoint: 80, endpoints: dead.slice(0, 2) };
    const crowded = (await claimDue(pool, workerId, "first", room)).claims;
    const batch = [...claimed.splice(0), ...crowded];
    expect(batch.length).toBeGreaterThanOrEqual(24);
    expect(await waysOf(() => settleAll(batch))).toEqual(waysOfSettling);
  });

  test("a claim takes from the endpoints that it names, by what is due there", async () => {
    const room = { limit: 20, perEndpoint: 20, endpoints: [healthy, ...dead.slice(0, 3)] };
    let claims: Claim[] = [];
    const ways = await waysOf(async () => {
      ({ claims } = await claimDue(pool, workerId, "first", room));
    });
    expect(claims).toHaveLength(20);
    expect(ways).toEqual(waysOfClaiming);
    expect(await waysOf(() => release(pool, workerId, claims))).toEqual(["deliveries by deliveries_pkey"]);
  });

  test("who knows how many are in flight spares the claim and the look the index of these", async () => {
    const inFlight = (): { first: number; again: number } => ({ first: 0, again: 0 });
    const room = { limit: 20, perEndpoint: 20, endpoints: [healthy, ...dead.slice(0, 3)], inFlight };
    const ways = await waysOf(async () => {
      const { claims } = await claimDue(pool, workerId, "first", room);
      expect(claims).toHaveLength(20);
      await release(pool, workerId, claims);
      await findDue(pool, "first", { perEndpoint: 80, inFlight });
    });
    expect(ways).toContain("deliveries by deliveries_due_first");
    expect(ways).not.toContain("deliveries by deliveries_in_flight");
  });

  test("a claim of retries goes by an index of their own", async () => {
    const room = { limit: 20, perEndpoint: 80, endpoints: dead.slice(0, 3) };
    const ways = await waysOf(async () => {
      const { claims } = await claimDue(pool, workerId, "again", room);
      expect(claims).toHaveLength(20);
      await release(pool, workerId, claims);
    });
    expect(ways).toContain("deliveries by deliveries_due_again");
    expect(ways).not.toContain("deliveries by deliveries_due_first");
  });

  test("the look for what is due steps from endpoint to endpoint", async () => {
    const ways = await waysOf(async () => {
      const marks = new Map(dead.slice(0, 20).map((endpoint) => [endpoint, "-infinity"]));
      const { endpoints } = await findDue(pool, "first", { perEndpoint: 80, marks });
      expect(endpoints).toHaveLength(deadEndpoints + 1);
    });
    expect(ways).toEqual(["deliveries by deliveries_due_first", "deliveries by deliveries_in_flight"]);
  });

  test("a lane is brought up by its session", async () => {
    const lanes = dead.slice(0, 20).map((endpointId, index) => ({ sessionKey: index + 1, endpointId }));
    expect(await waysOf(() => bringUp(pool, lanes))).toContain("deliveries by deliveries_lane");
  });

  test("dead workers' claims are looked for among what is in flight, and settled by their ids", async () => {
    const room = { limit: 20, perEndpoint: 20, endpoints: dead.slice(0, 3) };
    const { claims } = await claimDue(pool, workerId, "first", room);
    await database.pool.query(
      "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE delivery_id = ANY ($1)",
      [claims.map(({ deliveryId }) => deliveryId)],
    );
    const ways = await waysOf(async () => {
      const { unknown, again } = await takeOver(pool);
      expect(unknown + again).toBeGreaterThanOrEqual(20);
    });
    expect(ways).toContain("deliveries by deliveries_in_flight");
    for (const way of ways) expect(way).toMatch(/_pkey$|_in_flight$/);
  });

  test("a step of counting for the overview looks at the rows that it counts, and at their sessions", async () => {
    scans = [];
    expect(await countStep(pool, 0)).toBe(true);
    await until("the plan is told", () => scans.some(({ table }) => table === "tally_progress"));
    const read = scans.filter(({ table }) => /^(sessions|events|webhook_logs)/.test(table));
    expect(read.map(({ table }) => table)).toContain("events");
    for (const scan of read) expect(scan.rows, JSON.stringify(scan)).toBeLessThanOrEqual(10_000);
  });

  test("deadlines are looked for by their time", async () => {
    const ways = await waysOf(async () => {
      const deadlines = watchDeadlines(pool, intake, createLog("silent"));
      await until("it has looked", () => scans.length > 0);
      await deadlines.stop();
    });
    expect(ways).toEqual(["sessions by sessions_deadline"]);
  });
});
