import { randomUUID } from "node:crypto";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createTestDatabase, databaseUrl, type TestDatabase } from "../../../test/database.ts";
import { until } from "../../../test/until.ts";
import { checkDurability } from "../src/database/durability.ts";
import { listen } from "../src/database/listen.ts";
import { migrate } from "../src/database/migrate.ts";
import { isCurrent, isMigrated, migrationNames } from "../src/database/migrated.ts";
import { createPool } from "../src/database/pool.ts";
import { isUnavailable } from "../src/database/unavailable.ts";
import { createLog } from "../src/log.ts";
import { ensureLogPartitions } from "../src/logbook/partitions.ts";

const log = createLog("silent");
let database: TestDatabase;
let pool: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = database.pool;
});
afterAll(() => database.drop());

describe("migrations", () => {
  test("several processes at once on an empty database make its tables once", async () => {
    const name = `empty_${randomUUID().replaceAll("-", "")}`;
    await pool.query(`CREATE DATABASE ${name} TEMPLATE template0`);
    const url = databaseUrl(inject("postgresUrl"), name);
    const pools = [1, 2, 3].map(() => createPool({ connectionString: url }, log));
    expect(await isCurrent(pools[0] as pg.Pool)).toBe(false);
    const applied = await Promise.all(pools.map((one) => migrate(one)));
    expect(applied.flat().sort()).toEqual([...migrationNames].sort());
    const [first] = pools as [pg.Pool];
    expect(await migrate(first)).toEqual([]);
    const seen = async (): Promise<object> => ({
      migrated: await isMigrated(first),
      current: await isCurrent(first),
    });
    expect(await seen()).toEqual({ migrated: true, current: true });
    await first.query("INSERT INTO kysely_migration VALUES ('9999-of-tomorrow', now()::text)");
    expect(await seen()).toEqual({ migrated: true, current: false });
    await first.query("DELETE FROM kysely_migration WHERE name IN ('9999-of-tomorrow', '0005-inspector')");
    expect(await seen()).toEqual({ migrated: false, current: false });
    await Promise.all(pools.map((one) => one.end()));
    await pool.query(`DROP DATABASE ${name}`);
  });

  test("partitions of webhook_logs reach a week ahead, and are made once by any number of processes", async () => {
    const count = async (): Promise<number> => {
      const { rows } = await pool.query(
        "SELECT count(*) AS n FROM pg_inherits WHERE inhparent = 'webhook_logs'::regclass",
      );
      return rows[0].n;
    };
    expect(await count()).toBe(9);
    await pool.query(
      `DO $$ BEGIN EXECUTE 'DROP TABLE webhook_logs_' || to_char(now() AT TIME ZONE 'UTC' + interval '7 days', 'YYYYMMDD'); END $$`,
    );
    expect(await count()).toBe(8);
    await Promise.all([1, 2, 3].map(() => ensureLogPartitions(pool)));
    expect(await count()).toBe(9);
  });
});

describe("a PostgreSQL that can lose what it has confirmed", () => {
  /** A pool whose sessions have a setting of their own, as a role or a database may give them. */
  const withOption = (option: string): pg.Pool =>
    createPool({ connectionString: `${database.url}&options=${encodeURIComponent(option)}` }, log);

  test.each(["off", "local"])(
    "is refused with synchronous_commit = %s, with what it would cost",
    async (value) => {
      const unsafe = withOption(`-c synchronous_commit=${value}`);
      await expect(checkDurability(unsafe)).rejects.toThrow(
        new RegExp(`synchronous_commit is ${value}, expected on.*reports that were answered 2xx are lost`),
      );
      await unsafe.end();
    },
  );

  // The embedded server has these on its own command line, where nothing can change them; so a view in front of
  // pg_settings tells of another server.
  test.each([
    ["fsync", "off", "fsync is off, expected on"],
    ["full_page_writes", "off", "full_page_writes is off, expected on"],
    ["server_version_num", "140012", "This is PostgreSQL 14; Sendoff needs 15 or later"],
  ])("is refused when %s is %s", async (name, value, message) => {
    const schema = `as_if_${name}`;
    await pool.query(
      `CREATE SCHEMA ${schema};
       CREATE VIEW ${schema}.pg_settings AS SELECT name,
         CASE name WHEN '${name}' THEN '${value}' ELSE setting END AS setting FROM pg_catalog.pg_settings`,
    );
    const unsafe = withOption(`-c search_path=${schema},pg_catalog`);
    await expect(checkDurability(unsafe)).rejects.toThrow(message);
    await unsafe.end();
  });

  test("is not one that has all of them on", async () => {
    await checkDurability(pool);
  });
});

describe("the tables refuse impossible states", () => {
  const insertSession = (columns: Record<string, unknown>): Promise<unknown> => {
    const row: Record<string, unknown> = {
      project_id: randomUUID(),
      session_id: randomUUID(),
      version: 1,
      created_at: new Date(),
      current_node_id: "start",
      messages_count: 0,
      extracted_variables: "{}",
      deadline_at: "finalized_at" in columns ? null : new Date(),
      ...columns,
    };
    const names = Object.keys(row);
    return pool.query(
      `INSERT INTO sessions (${names.join(", ")}) VALUES (${names.map((_, index) => `$${index + 1}`).join(", ")})`,
      Object.values(row),
    );
  };
  const now = new Date();
  const ended = { conversation_reported_at: now, conversation_ended_by: "runtime" };
  const call = {
    call_reported_at: now,
    call_ended_by: "runtime",
    call_status: "userHangup",
    call_duration: 3,
  };

  test.each([
    ["a call's end on a text session", { channel: "text", ...call }, "call_is_whole"],
    ["a call's end without a status", { channel: "call", ...call, call_status: null }, "call_is_whole"],
    ["a negative duration", { channel: "call", ...call, call_duration: -1 }, "sessions_call_duration_check"],
    [
      "a finalized call whose call has not ended",
      { channel: "call", ...ended, finalized_at: now },
      "finalized_is_complete",
    ],
    ["a finalized session without a channel", { ...ended, finalized_at: now }, "finalized_is_complete"],
    [
      "a finalized text session still in conversation",
      { channel: "text", finalized_at: now },
      "finalized_is_complete",
    ],
    ["a conversation that ended by nobody", { conversation_reported_at: now }, "conversation_is_whole"],
    [
      "a recording that failed and has a key",
      { channel: "call", recording_reported_at: now, recording_success: false, recording_object_key: "k" },
      "recording_is_whole",
    ],
    ["a created session without a channel", { opened_at: now }, "created_has_channel"],
    [
      "a session that is not finalized and has no deadline",
      { deadline_at: null },
      "finalized_or_has_deadline",
    ],
    [
      "a late call on a call that ended in time",
      { channel: "call", ...call, late_call: "{}" },
      "late_call_has_deadline",
    ],
    ["an id that is none", { session_id: "a b" }, "sessions_session_id_check"],
  ])("%s", async (_name, columns, constraint) => {
    await expect(insertSession(columns)).rejects.toMatchObject({ constraint });
  });

  test("whole sessions are taken", async () => {
    await insertSession({ channel: "call", ...ended, ...call, finalized_at: now });
    await insertSession({ channel: "text", ...ended, finalized_at: now });
  });

  test("a second event of a kind for one session", async () => {
    const insertEvent = (): Promise<unknown> =>
      pool.query(
        `INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries)
         VALUES (999999, $1, 'session.finalized', 'msg_x', '{}', now(), 1)`,
        [randomUUID()],
      );
    await insertEvent();
    await expect(insertEvent()).rejects.toMatchObject({ constraint: "one_event_of_a_kind_per_session" });
  });

  test("a delivery in flight that nobody claimed, and one that is owed twice", async () => {
    const endpointId = randomUUID();
    const insertDelivery = (columns: string, values: string): Promise<unknown> =>
      pool.query(
        `INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger${columns})
         VALUES (1, 1, $1, true, 'live'${values})`,
        [endpointId],
      );
    await expect(insertDelivery(", state", ", 'in_flight'")).rejects.toMatchObject({
      constraint: "in_flight_is_claimed",
    });
    await insertDelivery("", "");
    await expect(insertDelivery("", "")).rejects.toMatchObject({ constraint: "deliveries_once" });
  });

  test("a second webhook of one agent", async () => {
    const projectId = randomUUID();
    await pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [projectId]);
    const insertEndpoint = (): Promise<unknown> =>
      pool.query(
        `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, timeout_ms)
         VALUES ($1, $2, 'agent', 'https://example.com/', 's', 1000)`,
        [randomUUID(), projectId],
      );
    await insertEndpoint();
    await expect(insertEndpoint()).rejects.toMatchObject({ constraint: "endpoints_one_agent_webhook" });
  });

  test("a log row that says delivered without a 2xx", async () => {
    const insertLog = (status: number | null): Promise<unknown> =>
      pool.query(
        `INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id,
           endpoint_id, url, attempt, trigger, outcome, response_status, attempted_at, settled_as)
         VALUES ($1, 1, 's', 1, 'session.ended', 'm', 1, $1, 'u', 1, 'live', 'delivered', $2, now(), 'delivered')`,
        [randomUUID(), status],
      );
    await insertLog(204);
    await expect(insertLog(500)).rejects.toMatchObject({ constraint: "delivered_means_2xx" });
    await expect(insertLog(null)).rejects.toMatchObject({ constraint: "delivered_means_2xx" });
  });
});

describe("LISTEN", () => {
  test("hears a NOTIFY, and again after its connection was lost", async () => {
    let heard = 0;
    const listener = listen({ connectionString: database.url }, "test_channel", () => heard++, log);
    const listening = async (): Promise<number[]> => {
      const { rows } = await pool.query(
        `SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'sendoff listen' AND query LIKE 'LISTEN%'`,
      );
      return rows.map((row) => row.pid);
    };
    await until("it listens", async () => (await listening()).length === 1);
    const before = heard;
    await pool.query("NOTIFY test_channel");
    await until("the first is heard", () => heard > before);
    const [first] = await listening();
    await pool.query("SELECT pg_terminate_backend($1)", [first]);
    await until("it listens anew", async () => {
      const [pid] = await listening();
      return pid !== undefined && pid !== first;
    });
    const again = heard;
    await pool.query("NOTIFY test_channel");
    await until("the second is heard", () => heard > again);
    await listener.stop();
  });
});

describe("an error that means PostgreSQL cannot be asked", () => {
  test.each([
    ["a refused connection", Object.assign(new Error("x"), { code: "ECONNREFUSED" }), true],
    ["a shutdown", Object.assign(new Error("x"), { code: "57P01" }), true],
    ["a full disk", Object.assign(new Error("x"), { code: "53100" }), true],
    ["a lost connection", new Error("Connection terminated unexpectedly"), true],
    ["a server that is read-only", Object.assign(new Error("x"), { code: "25006" }), true],
    ["a lock that was not had in time", Object.assign(new Error("x"), { code: "55P03" }), true],
    [
      "a statement that breaks the protocol, which is a mistake of ours",
      Object.assign(new Error("x"), { code: "08P01", severity: "ERROR" }),
      false,
    ],
    [
      "a connection that PgBouncer ends",
      Object.assign(new Error("x"), { code: "08P01", severity: "FATAL" }),
      true,
    ],
    ["a constraint", Object.assign(new Error("x"), { code: "23505" }), false],
    ["a mistake of ours", new TypeError("x"), false],
  ])("%s", (_name, error, expected) => {
    expect(isUnavailable(error)).toBe(expected);
  });
});
