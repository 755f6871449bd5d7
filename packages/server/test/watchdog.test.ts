import { afterEach, beforeEach, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { until } from "../../../test/until.ts";
import { systemClock } from "../src/clock.ts";
import { createWriteProbe } from "../src/database/write-probe.ts";
import { createWatchdog, type Watchdog, type WatchdogParts } from "../src/dispatch/watchdog.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import { createLog } from "../src/log.ts";
import { createProject } from "../src/tenancy/projects.ts";
import { conversationEnded, createTestIntake } from "./intake.ts";

// A watchdog over a database in which deliveries are due, beside a dispatcher that does nothing at all.

const stallMs = 2_000;
let database: TestDatabase;
let intake: ReportIntake;
let projectId: string;
let watchdog: Watchdog;
let stalls = 0;
let log: Array<Record<string, unknown>> = [];

beforeEach(async () => {
  database = await createTestDatabase();
  intake = createTestIntake(database.pool);
  projectId = (await createProject(database.pool, "p")).id;
  await database.pool.query(
    `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, events, timeout_ms)
     VALUES (gen_random_uuid(), $1, 'agent', 'https://example.com/', 'sealed', '{session.ended}', 10000)`,
    [projectId],
  );
  stalls = 0;
  log = [];
});
afterEach(async () => {
  await watchdog.stop();
  await database.drop();
});

const owe = (sessionId: string) => intake.apply(projectId, sessionId, conversationEnded("call"));

function watch(more: Partial<WatchdogParts> = {}): void {
  watchdog = createWatchdog({
    pool: database.pool,
    log: createLog("info", { write: (line) => void log.push(JSON.parse(line)) }),
    clock: systemClock,
    writeProbe: createWriteProbe(database.pool, systemClock),
    stallMs,
    hasRoom: () => true,
    isPaused: () => false,
    onStalled: () => {
      stalls += 1;
    },
    ...more,
  });
}

/** For long enough that a stall would have been found twice. */
async function quietTime(doing: () => void = () => {}): Promise<void> {
  const end = performance.now() + stallMs + 4_000;
  await until("time has passed", () => {
    doing();
    return performance.now() > end;
  });
}

test("work that is due while nothing begins is a stall: it is logged, told once, and stays so", async () => {
  await owe("s-1");
  watch();
  await until("readiness can tell of it", () => watchdog.isStalled());
  expect(stalls).toBe(0);
  await until("the process is told to end", () => stalls === 1);
  expect(log).toMatchObject([{ event: "dispatch.stalled", level: 50 }]);
  expect(watchdog.isStalled()).toBe(true);
  await quietTime();
  expect(stalls).toBe(1);
});

test("nothing is a stall while nothing is due", async () => {
  watch();
  await quietTime();
  expect(stalls).toBe(0);
});

test("nothing is a stall while attempts begin", async () => {
  await owe("s-1");
  watch();
  await quietTime(() => watchdog.began());
  expect(stalls).toBe(0);
});

test.each([
  ["every place is taken", { hasRoom: () => false }],
  ["the circuit breaker of the endpoint is open", { isPaused: () => true }],
])("nothing is a stall while %s", async (_name, more) => {
  await owe("s-1");
  watch(more);
  await quietTime();
  expect(stalls).toBe(0);
});

test("nothing is a stall while the endpoint has attempts in flight, which may use up its room", async () => {
  await owe("s-1");
  await owe("s-2");
  await database.pool.query(
    `UPDATE deliveries SET state = 'in_flight', attempts = 1, worker_id = gen_random_uuid(), claimed_at = now(),
       lease_until = now() + interval '1 minute'
     WHERE delivery_id = (SELECT min(delivery_id) FROM deliveries)`,
  );
  watch();
  await quietTime();
  expect(stalls).toBe(0);
});

test("nothing is a stall while PostgreSQL takes no writes: no other process could do better", async () => {
  await owe("s-1");
  const holder = await database.pool.connect();
  await holder.query("BEGIN; LOCK TABLE webhook_logs IN ACCESS EXCLUSIVE MODE");
  watch();
  await quietTime();
  expect(stalls).toBe(0);
  await holder.query("COMMIT");
  holder.release();
});
