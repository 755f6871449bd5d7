import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { systemClock } from "../src/clock.ts";
import { type EmbeddedPostgres, startEmbedded } from "../src/database/embedded/embedded.ts";
import { createWriteProbe } from "../src/database/write-probe.ts";
import { createRefusalShare, windowMs } from "../src/lifecycle/refusal-share.ts";
import { expectRefused } from "./refused.ts";

// Readiness tells the truth (guarantees, L6): on a PostgreSQL of its own, whose settings a test may change.

let folder: string;
let cluster: EmbeddedPostgres;
let server: TestServer;
let admin: pg.Client;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sendoff-test-readiness-"));
  cluster = await startEmbedded({ dataFolder: join(folder, "data") });
  server = await startTestServer(
    { SENDOFF_DATABASE_TIMEOUT: "2s" },
    null,
    undefined,
    undefined,
    async () => cluster.connectionString,
  );
  admin = new pg.Client({ connectionString: cluster.connectionString });
  await admin.connect();
});
afterAll(async () => {
  await server.stop();
  await admin.end();
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await admin.query("ROLLBACK");
  await admin.query("SET default_transaction_read_only = off");
  await admin.query("ALTER SYSTEM RESET ALL");
  await admin.query("SELECT pg_reload_conf()");
  await until("the process is ready again", async () => (await readyz()).status === 200);
});

const readyz = () => server.api("GET", "/readyz", undefined, "");
const reload = () => admin.query("SELECT pg_reload_conf()");
const endSession = (sessionId: string) =>
  server.api("POST", `/v1/projects/${server.projectId}/sessions/${sessionId}/conversation-ended`, {
    channel: "text",
    currentNodeId: "closing",
    messagesCount: 1,
    extractedVariables: {},
  });

async function expectNotReady(...parts: string[]): Promise<void> {
  await until("/readyz is 503", async () => (await readyz()).status === 503, 10_000);
  expectRefused(await readyz(), "database_unavailable", ...parts);
}

test("a PostgreSQL that is read-only makes /readyz and reports 503 database_unavailable", async () => {
  await admin.query("ALTER SYSTEM SET default_transaction_read_only = on");
  await reload();
  await expectNotReady("read-only");
  expectRefused(await endSession("read-only-1"), "database_unavailable", "send the report again");
});

test.each(["sessions", "events", "deliveries", "webhook_logs"])(
  "a lock on %s makes /readyz 503 within 2 s, and nothing else is held up by the probe",
  async (table) => {
    await admin.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    const beganMs = performance.now();
    await expectNotReady("locked");
    // 2 s, and room for a busy machine.
    expect(performance.now() - beganMs).toBeLessThan(6_000);
  },
);

test("a synchronous standby that is away makes /readyz 503, for no report could be acknowledged", async () => {
  await admin.query("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  await reload();
  await expectNotReady("does not answer in time");
  expectRefused(await endSession("unreplicated-1"), "database_unavailable");
});

test("when PostgreSQL has no connection left for this process, /readyz is 503", async () => {
  const taken: pg.Client[] = [];
  const takeAll = async (): Promise<void> => {
    for (;;) {
      const client = new pg.Client({ connectionString: cluster.connectionString });
      client.on("error", () => {});
      try {
        await client.connect();
      } catch {
        return;
      }
      taken.push(client);
    }
  };
  try {
    await until("/readyz is 503 for want of connections", async () => {
      await admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sendoff'",
      );
      await takeAll();
      const { status, text } = await readyz();
      return status === 503 && text.includes("no connection left");
    });
  } finally {
    for (const client of taken) await client.end();
  }
});

test("several callers share one probe, and what it writes is removed after a minute", async () => {
  const probes = async () =>
    (
      await admin.query<{ old: number; all: number }>(
        `SELECT count(*) FILTER (WHERE probed_at < now() - interval '1 minute')::int AS old, count(*)::int AS all
         FROM write_probes`,
      )
    ).rows[0] as { old: number; all: number };
  const before = await probes();
  await admin.query(
    "INSERT INTO write_probes SELECT now() - interval '2 minutes' FROM generate_series(1, 50)",
  );
  const pool = new pg.Pool({ connectionString: cluster.connectionString });
  const probe = createWriteProbe(pool, systemClock);
  expect(await Promise.all(Array.from({ length: 20 }, () => probe.check()))).toEqual(Array(20).fill(null));
  await pool.end();
  expect(await probes()).toEqual({ old: 0, all: before.all - before.old + 1 });
});

test("a process that had most of its last reports refused is not ready, until that is 5 s ago", () => {
  let nowMs = 0;
  const share = createRefusalShare({ monotonicMs: () => nowMs, wallMs: () => 0 });
  expect(share.isMost()).toBe(false);
  share.taken(10);
  share.refused(9);
  expect(share.isMost()).toBe(false);
  share.refused(1);
  expect(share.isMost()).toBe(true);
  nowMs += windowMs + 1;
  expect(share.isMost()).toBe(false);
  share.refused(100);
  expect(share.isMost()).toBe(true);
  // PostgreSQL is back.
  share.taken(1);
  expect(share.isMost()).toBe(false);
});
