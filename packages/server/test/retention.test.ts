import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { emptyTables } from "../../../test/database.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { oweAgain } from "../src/outbox/resend.ts";
import { createDiskRecordings } from "../src/recordings/disk.ts";
import { type Removed, runRetention } from "../src/retention/round.ts";

let server: TestServer;
let endpointId: string;

beforeAll(async () => {
  server = await startTestServer();
  const { rows } = await server.pool.query("SELECT endpoint_id AS id FROM endpoints LIMIT 1");
  endpointId = rows[0].id;
});
afterAll(() => server.stop());
beforeEach(async () => {
  await emptyTables(server.pool, "sessions", "events", "deliveries", "inspector_requests");
});

const dayMs = 86_400_000;
const never = new AbortController().signal;

const round = (
  recordings = createDiskRecordings(join(server.dataFolder, "recordings"), 0),
): Promise<Removed | null> =>
  runRetention(
    {
      pool: server.pool,
      log: createLog("silent"),
      metrics: createMetrics(),
      recordings,
      retentionMs: 30 * dayMs,
    },
    never,
  );

interface Aged {
  readonly createdDays?: number;
  readonly finalizedDays?: number | null;
  readonly erasedDays?: number;
  readonly emittedDays?: number;
  readonly objectKey?: string;
}

/** A text session, so many days old, with one event. */
async function insertSession(sessionId: string, aged: Aged = {}): Promise<{ key: number; eventId: number }> {
  const created = aged.createdDays ?? 40;
  const finalized = aged.finalizedDays === undefined ? created : aged.finalizedDays;
  const { rows } = await server.pool.query(
    `WITH made AS (
       INSERT INTO sessions (project_id, session_id, version, channel, created_at, current_node_id, messages_count,
         extracted_variables, conversation_reported_at, conversation_ended_by, finalized_at, deadline_at, erased_at,
         channel_assumed, recording_reported_at, recording_success, recording_object_key)
       VALUES ($1, $2, 1, 'text', now() - $3 * interval '1 day',
         CASE WHEN $5::float8 IS NULL THEN 'start' ELSE '' END, 1, '{}', now() - $3 * interval '1 day', 'runtime',
         now() - $4::float8 * interval '1 day',
         CASE WHEN $4::float8 IS NULL AND $5::float8 IS NULL THEN now() + interval '1 hour' END,
         now() - $5::float8 * interval '1 day', $7::text IS NOT NULL,
         CASE WHEN $7::text IS NOT NULL THEN now() END, CASE WHEN $7::text IS NOT NULL THEN true END, $7)
       RETURNING session_key)
     INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason)
     SELECT session_key, $1, 'session.ended', 'msg_' || $2, '{}', now() - $6 * interval '1 day', 0, 'no_endpoint'
     FROM made RETURNING session_key AS key, event_id AS "eventId"`,
    [
      server.projectId,
      sessionId,
      created,
      finalized,
      aged.erasedDays ?? null,
      aged.emittedDays ?? created,
      aged.objectKey ?? null,
    ],
  );
  return rows[0];
}

const owe = (eventId: number, sessionKey: number): Promise<unknown> =>
  server.pool.query(
    `INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, due_at)
     VALUES ($1, $2, $3, false, 'resend', now() + interval '1 hour')`,
    [eventId, sessionKey, endpointId],
  );

const left = async (): Promise<string[]> =>
  (await server.pool.query("SELECT session_id AS id FROM sessions ORDER BY session_key")).rows.map(
    ({ id }) => id,
  );

/** A day of webhook_logs with one row in it. */
async function insertDay(daysAgo: number): Promise<string> {
  const from = new Date(Math.floor(Date.now() / dayMs) * dayMs - daysAgo * dayMs);
  const day = from.toISOString().slice(0, 10);
  const name = `webhook_logs_${day.replaceAll("-", "")}`;
  await server.pool.query(
    `CREATE TABLE IF NOT EXISTS ${name} PARTITION OF webhook_logs
     FOR VALUES FROM ('${day} 00:00+00') TO ('${new Date(from.getTime() + dayMs).toISOString().slice(0, 10)} 00:00+00')`,
  );
  await server.pool.query(
    `INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id,
       endpoint_id, url, attempt, trigger, outcome, attempted_at, settled_as)
     VALUES ($1, 1, 'old', 1, 'session.ended', 'msg_old', 1, $2, 'https://example.com/', 1, 'live', 'unreachable', $3,
       'failed')`,
    [server.projectId, endpointId, from],
  );
  return name;
}

const days = async (): Promise<string[]> =>
  (
    await server.pool.query(
      "SELECT relname AS name FROM pg_class WHERE relname ~ '^webhook_logs_[0-9]{8}$' AND relkind = 'r' ORDER BY 1",
    )
  ).rows.map(({ name }) => name);

describe("retention", () => {
  test("whole days of webhook_logs past their age are dropped, and no younger one", async () => {
    const before = await days();
    const old = [await insertDay(100), await insertDay(31)];
    const kept = [await insertDay(30), await insertDay(29)];
    expect((await round())?.partitions).toBe(2);
    expect(await days()).toEqual([...kept, ...before]);
    expect(await days()).not.toContain(old[1]);
  });

  test("a day that somebody reads is left for the next round, and nobody waits for it", async () => {
    const name = await insertDay(50);
    const reader = await server.pool.connect();
    await reader.query("BEGIN");
    await reader.query("SELECT count(*) FROM webhook_logs");
    const removing = round();
    await insertDay(0);
    expect((await removing)?.partitions).toBe(0);
    expect(await days()).toContain(name);
    await reader.query("COMMIT");
    reader.release();
    expect((await round())?.partitions).toBe(1);
    expect(await days()).not.toContain(name);
  });

  test("sessions go with their events when they are over and all of them is old, and no others", async () => {
    await insertSession("old");
    await insertSession("young", { createdDays: 29 });
    await insertSession("finalized-lately", { finalizedDays: 3 });
    await insertSession("open", { finalizedDays: null });
    await insertSession("recorded-lately", { emittedDays: 3 });
    await insertSession("erased-long-ago", { finalizedDays: null, erasedDays: 35 });
    await insertSession("erased-lately", { erasedDays: 2 });
    const owing = await insertSession("owing");
    await owe(owing.eventId, owing.key);
    const removed = await round();
    expect(removed).toMatchObject({ sessions: 2, events: 2 });
    expect(await left()).toEqual([
      "young",
      "finalized-lately",
      "open",
      "recorded-lately",
      "erased-lately",
      "owing",
    ]);
    const { rows } = await server.pool.query(
      "SELECT count(*) AS orphans FROM events WHERE session_key NOT IN (SELECT session_key FROM sessions)",
    );
    expect(rows[0].orphans).toBe(0);
    await emptyTables(server.pool, "deliveries");
    expect(await round()).toMatchObject({ sessions: 1 });
  });

  test("more than a batch goes in one round, however many stay between them", async () => {
    await server.pool.query(
      `WITH made AS (
         INSERT INTO sessions (project_id, session_id, version, channel, created_at, current_node_id, messages_count,
           extracted_variables, conversation_reported_at, conversation_ended_by, finalized_at, deadline_at)
         SELECT $1, 'many-' || number, 1, 'text', now() - interval '40 days', 'start', 0, '{}', now(), 'runtime',
           CASE WHEN number <= 600 OR number > 1900 THEN now() - interval '40 days' END,
           CASE WHEN number BETWEEN 601 AND 1900 THEN now() + interval '1 hour' END
         FROM generate_series(1, 2600) AS number RETURNING session_key)
       INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason)
       SELECT session_key, $1, 'session.ended', 'm', '{}', now() - interval '40 days', 0, 'no_endpoint' FROM made`,
      [server.projectId],
    );
    expect(await round()).toMatchObject({ sessions: 1_300, events: 1_300 });
    expect((await left()).length).toBe(1_300);
  });

  test("age does not follow keys: what is old goes, of every project, behind more than a batch that stays", async () => {
    const insert = (projects: readonly string[], name: string, count: number, days: number) =>
      server.pool.query(
        `INSERT INTO sessions (project_id, session_id, version, channel, created_at, current_node_id, messages_count,
           extracted_variables, conversation_reported_at, conversation_ended_by, finalized_at)
         SELECT project, $2 || number, 1, 'text', at, 'start', 0, '{}', at, 'runtime', at
         FROM unnest($1::uuid[]) AS project, generate_series(1, $3::int) AS number,
           LATERAL (SELECT now() - $4 * interval '1 day' AS at) AS age`,
        [projects, name, count, days],
      );
    // More than a batch of projects without anything old come first.
    const named = (first: string): string[] =>
      Array.from({ length: 600 }, () => randomUUID().replace(/^./, first));
    await insert([server.projectId], "young", 1_200, 3);
    await insert(named("0"), "young", 1, 3);
    await insert(named("f"), "old", 2, 40);
    await insert([server.projectId], "old", 600, 40);
    expect(await round()).toMatchObject({ sessions: 1_800 });
    expect(new Set(await left())).toEqual(new Set(Array.from({ length: 1_200 }, (_, n) => `young${n + 1}`)));
  });

  test("audio goes before its session, and a session whose audio cannot be removed stays", async () => {
    const keys = ["a", "b", "c"].map((name) => `projects/${server.projectId}/aged/${name}.ogg`);
    const file = (objectKey = ""): string => join(server.dataFolder, "recordings", objectKey);
    await mkdir(dirname(file(keys[0])), { recursive: true });
    for (const key of keys) await writeFile(file(key), "audio");
    await insertSession("a", { objectKey: keys[0] as string });
    await insertSession("b", { objectKey: keys[1] as string });
    // Something of it is owed yet: neither it nor its audio may go.
    const owing = await insertSession("c", { objectKey: keys[2] as string });
    await owe(owing.eventId, owing.key);
    const disk = createDiskRecordings(join(server.dataFolder, "recordings"), 0);
    const half = {
      ...disk,
      remove: async (key: string): Promise<boolean> => {
        if (key === keys[1]) throw new Error("the store is away");
        return disk.remove(key);
      },
    };
    await server.pool.query(
      `INSERT INTO recordings (object_key, project_id, session_id, uploaded, kept, content_type, bytes)
       SELECT recording_object_key, project_id, session_id, false, true, 'audio/ogg', 5 FROM sessions`,
    );
    const known = async () =>
      (await server.pool.query("SELECT session_id AS id FROM recordings ORDER BY 1")).rows.map(
        ({ id }) => id,
      );
    expect(await round(half)).toMatchObject({ sessions: 1, recordings: 1 });
    expect(await known()).toEqual(["b", "c"]);
    expect([existsSync(file(keys[0])), existsSync(file(keys[1]))]).toEqual([false, true]);
    expect(await left()).toEqual(["b", "c"]);
    expect(await round()).toMatchObject({ sessions: 1, recordings: 1 });
    expect([existsSync(file(keys[1])), existsSync(file(keys[2]))]).toEqual([false, true]);
  });

  test("what the inspector got goes with age", async () => {
    await server.pool.query(
      `INSERT INTO inspector_requests (inspector_id, received_at, headers, body)
       SELECT inspector_id, now() - number * interval '1 hour', '{}', 'x'
       FROM inspectors, generate_series(1, 2000) AS number`,
    );
    expect((await round())?.inspectorRequests).toBe(2_000 - 719);
  });

  test("a resend at the very moment of the removal is not left without its event", async () => {
    const { key, eventId } = await insertSession("asked-for");
    const asking = await server.pool.connect();
    await asking.query("BEGIN");
    expect((await oweAgain(asking, endpointId, [eventId], false)).length).toBe(1);
    const removing = round();
    await until("the removal waits", async () => {
      const { rows } = await server.pool.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return rows.length > 0;
    });
    await asking.query("COMMIT");
    asking.release();
    expect(await removing).toMatchObject({ sessions: 0, events: 0 });
    const { rows } = await server.pool.query("SELECT FROM events WHERE session_key = $1", [key]);
    expect(rows.length).toBe(1);
    expect(await round()).not.toBeNull();
  });

  test("one process acts at a time", async () => {
    await insertSession("old");
    const other = await server.pool.connect();
    await other.query("SELECT pg_advisory_lock(7340017)");
    expect(await round()).toBeNull();
    await other.query("SELECT pg_advisory_unlock(7340017)");
    other.release();
    const rounds = await Promise.all(Array.from({ length: 4 }, () => round()));
    expect(rounds.reduce((sum, one) => sum + (one?.sessions ?? 0), 0)).toBe(1);
    const { rows } = await server.pool.query(
      `SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory' AND objid = 7340017
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    expect(rows[0].held).toBe(0);
  });

  test("a worker does it by itself, by SENDOFF_RETENTION, and tells of it", async () => {
    await insertSession("two-days", { createdDays: 2 });
    await insertSession("today", { createdDays: 0.5 });
    const beside = await startTestServer({ SENDOFF_RETENTION: "1d" }, server);
    await until("the old one is gone", async () => (await left()).length === 1);
    expect(await left()).toEqual(["today"]);
    await until("the metric tells", async () =>
      (await beside.api("GET", "/metrics")).text.includes(
        'sendoff_retention_removed_total{what="sessions"} 1',
      ),
    );
    await beside.stop();
  });

  test("an age of less than a day is refused at the start", async () => {
    await expect(startTestServer({ SENDOFF_RETENTION: "23h" }, server)).rejects.toThrow(
      'SENDOFF_RETENTION is "23h"; expected a whole number and a unit, such as 30d, from 1d to 36500d',
    );
  });
});
