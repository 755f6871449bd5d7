import { randomBytes, randomUUID } from "node:crypto";
import type pg from "pg";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { testGuard } from "../../../test/guard.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { systemClock } from "../src/clock.ts";
import { createWriteProbe } from "../src/database/write-probe.ts";
import { createClients } from "../src/dispatch/clients.ts";
import { createDispatcher, type Dispatcher, type DispatcherParts } from "../src/dispatch/dispatcher.ts";
import type { Guard } from "../src/egress/guard.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { createRecordingLinks } from "../src/recordings/links.ts";
import { createSealer } from "../src/secrets/seal.ts";
import { updateAgent } from "../src/tenancy/agents.ts";
import { createProject } from "../src/tenancy/projects.ts";
import { rotateSecret } from "../src/tenancy/signing-secrets.ts";
import { callEnded, conversationEnded, createTestIntake } from "./intake.ts";

// The dispatcher with a clock or connections that a test decides on; sockets and PostgreSQL are real.

const log = createLog("silent");
const key = randomBytes(32);
const sealer = createSealer(key);
const guard = testGuard({ policy: { allowHttp: "loopback" } });
let database: TestDatabase;
let sink: Sink;
let intake: ReportIntake;
let projectId: string;
let dispatcher: Dispatcher | null = null;

beforeEach(async () => {
  database = await createTestDatabase();
  sink = await startSink();
  intake = createTestIntake(database.pool, { onOwed: (hints) => dispatcher?.wake(hints) });
  projectId = (await createProject(database.pool, "p")).id;
  const postSessionWebhook = {
    url: sink.url,
    events: ["session.ended" as const],
    delivery: { timeout: "8s" },
  };
  await updateAgent(database.pool, sealer, guard, projectId, { postSessionWebhook }, new Map());
});
afterEach(async () => {
  await dispatcher?.drain();
  dispatcher = null;
  await sink.close();
  await database.drop();
});

function start(more: Partial<DispatcherParts>): void {
  dispatcher = createDispatcher({
    pool: database.pool,
    log,
    sealer,
    metrics: createMetrics(),
    clock: systemClock,
    clients: createClients(guard, systemClock),
    links: createRecordingLinks({
      publicUrl: async () => "http://127.0.0.1",
      secretKey: key,
      oldSecretKeys: [],
      store: { sign: async () => null },
      now: async () => Date.now(),
      lifeMs: 900_000,
    }),
    limits: { inFlightMax: 1_024, perEndpointMax: 32 },
    workerId: randomUUID(),
    userAgent: "Sendoff/test",
    writeProbe: createWriteProbe(database.pool, systemClock),
    onStalled: () => {},
    ...more,
  });
}

const report = (sessionId: string) =>
  intake.apply(projectId, sessionId, conversationEnded(sessionId === "meet" ? "call" : "text"));

async function logs(): Promise<Array<Record<string, unknown>>> {
  const { rows } = await database.pool.query(
    "SELECT outcome, attempt, duration_ms FROM webhook_logs ORDER BY log_id",
  );
  return rows;
}

describe("a connection that takes its time", () => {
  test("counts as part of the attempt: what is within the timeout is sent on it, at once", async () => {
    const slowly: Guard = {
      ...guard,
      async open(url, progress, signal) {
        const socket = await guard.open(url, progress, signal);
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        return socket;
      },
    };
    start({ clients: createClients(slowly, systemClock) });
    await report("slow");
    await until("the attempt is logged", async () => (await logs()).length > 0);
    expect(await logs()).toMatchObject([{ outcome: "delivered", attempt: 1 }]);
    expect((await logs())[0]?.duration_ms).toBeGreaterThan(1_900);
  });
});

describe("a process that was stopped and goes on", () => {
  test("writes nothing for a claim that has too little of its lease left, and gives it back", async () => {
    // A clock that jumps while a claim is on its way, as it does for a process that is stopped at that moment.
    let jumpMs = 0;
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + jumpMs };
    const blocker = await database.pool.connect();
    await report("stopped");
    await blocker.query("BEGIN; LOCK TABLE endpoints IN ACCESS EXCLUSIVE MODE");
    const told: string[] = [];
    start({ clock, log: createLog("warn", { write: (line) => void told.push(line) }) });
    await until("a claim waits", async () => {
      // Not on the blocking connection: within a transaction what it sees of others stands still.
      const { rows } = await database.pool.query(
        `SELECT count(*) AS n FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%room AS MATERIALIZED%'`,
      );
      return rows[0].n > 0;
    });
    jumpMs = 2_000;
    await blocker.query("ROLLBACK");
    blocker.release();
    await sink.arrived(1);
    await until("the attempt is logged", async () => (await logs()).length > 0);
    // It was claimed twice and sent once: what was given back does not count as an attempt.
    expect(await logs()).toMatchObject([{ outcome: "delivered", attempt: 1 }]);
    expect(sink.received.length).toBe(1);
    expect(told.filter((line) => line.includes("delivery.given_back")).length).toBe(1);
  });
});

describe("an old secret that ended between the claim and the signing", () => {
  test("does not sign: its end is looked at again", async () => {
    const { rows } = await database.pool.query("SELECT endpoint_id AS id FROM endpoints");
    await rotateSecret(database.pool, sealer, rows[0].id, { overlap: "1m" });
    const signaturesAt = async (wallMs: number): Promise<number> => {
      const before = sink.received.length;
      start({ clock: { ...systemClock, wallMs: () => wallMs } });
      await report(`signed-${before}`);
      await sink.arrived(before + 1);
      await dispatcher?.drain();
      return String(sink.received.at(-1)?.headers["webhook-signature"]).split(" ").length;
    };
    expect(await signaturesAt(Date.now())).toBe(2);
    expect(await signaturesAt(Date.now() + 61_000)).toBe(1);
  });
});

/** The pool, but each statement is shown first, which may throw instead of it. */
function withStatements(pool: pg.Pool, shown: (statement: pg.QueryConfig) => void): pg.Pool {
  const query = async (statement: pg.QueryConfig): Promise<pg.QueryResult> => {
    shown(statement);
    return pool.query(statement);
  };
  return new Proxy(pool, { get: (target, name) => (name === "query" ? query : Reflect.get(target, name)) });
}

describe("a process that could not ask PostgreSQL", () => {
  test("forgets from where on deliveries wait: what was committed meanwhile may be due before that", async () => {
    let fails = false;
    const marks: number[] = [];
    const pool = withStatements(database.pool, ({ name, values }) => {
      if (name !== "delivery-find-first") return;
      if (fails) {
        fails = false;
        marks.length = 0;
        throw new Error("Connection terminated");
      }
      const [, , endpoints] = values as [number, string, string[]];
      marks.push(endpoints.length);
    });
    start({ pool });
    await report("one");
    await until("a look begins where deliveries wait", () => marks.at(-1) === 1);
    fails = true;
    await until("it looks again", () => !fails && marks.length > 0);
    expect(marks[0]).toBe(0);
  });
});

/** The pool, but the commit of each settling waits: as a slow disk would have it. */
function withSlowSettling(pool: pg.Pool, beforeCommit: () => Promise<void>): pg.Pool {
  const query = async (statement: pg.QueryConfig): Promise<pg.QueryResult> => {
    if (statement.name !== "delivery-settle") return pool.query(statement);
    const client = await pool.connect();
    try {
      await client.query("BEGIN");
      const stored = await client.query(statement);
      await beforeCommit();
      await client.query("COMMIT");
      return stored;
    } finally {
      client.release();
    }
  };
  return new Proxy(pool, { get: (target, name) => (name === "query" ? query : Reflect.get(target, name)) });
}

describe("a look that took long, for PostgreSQL had just come back", () => {
  test("puts off the next look before the marks by seconds only: what is left there goes out", async () => {
    const blocker = await database.pool.connect();
    await blocker.query("BEGIN; LOCK TABLE deliveries IN ACCESS EXCLUSIVE MODE");
    start({});
    const lockedAtMs = performance.now();
    await until("the first look has waited for 3 s", () => performance.now() - lockedAtMs > 3_000);
    await blocker.query("COMMIT");
    blocker.release();
    await report("sets-the-mark");
    await sink.arrived(1);
    await until("the attempt is logged", async () => (await logs()).length === 1);
    // As a commit leaves it that took longer than a second: due before what was claimed since.
    await database.pool.query(
      `INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, due_at, delivery_id)
       SELECT event_id, session_key, endpoint_id, false, 'resend', now() - interval '1 minute', delivery_id + 1
       FROM webhook_logs`,
    );
    const leftAtMs = performance.now();
    await sink.arrived(2);
    // 5 s and a look; with a tenth of the time alone it would be 30 s.
    expect(performance.now() - leftAtMs).toBeLessThan(15_000);
  });
});

describe("a report that is committed while the delivery before it in its lane settles", () => {
  test("is seen by neither of the two commits, and goes out at once all the same", async () => {
    const events = ["session.ended" as const, "call.ended" as const];
    const postSessionWebhook = { url: sink.url, events };
    await updateAgent(database.pool, sealer, guard, projectId, { postSessionWebhook }, new Map());
    let settlings = 0;
    const pool = withSlowSettling(database.pool, async () => {
      settlings += 1;
      if (settlings > 1) return;
      // The settling has its view of the table; the report does not see its end yet.
      await intake.apply(projectId, "meet", callEnded);
      await until("the report's own look is over", async () => {
        const { rows } = await database.pool.query(
          "SELECT count(*) AS n FROM deliveries WHERE state = 'pending' AND due_at > now()",
        );
        return rows[0].n === 1;
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
    });
    start({ pool });
    await report("meet");
    await until("call.ended has gone out", () => sink.received.length === 2, 5_000);
    expect(sink.received.map(({ json }) => json.event)).toEqual(["session.ended", "call.ended"]);
  });
});
