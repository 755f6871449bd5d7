import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { createPool } from "../src/database/pool.ts";
import { inTransaction } from "../src/database/transaction.ts";
import { createLog } from "../src/log.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

test("a connection that is lost in the midst of a transaction fails that transaction and nothing else", async () => {
  const pool = createPool({ connectionString: database.url }, createLog("silent"));
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);
  process.on("uncaughtException", note);
  const lost = inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    const ended = new Promise((resolve) => client.once("end", resolve));
    // Between two statements, when nobody waits for an answer that could tell.
    await database.pool.query("SELECT pg_terminate_backend($1)", [rows[0]?.pid]);
    await ended;
    await client.query("SELECT 1");
  });
  await expect(lost).rejects.toThrow(/not queryable|terminat/i);
  process.off("uncaughtException", note);
  expect(uncaught).toEqual([]);
  expect((await pool.query("SELECT 1 AS one")).rows).toEqual([{ one: 1 }]);
  await pool.end();
});

test.each([
  ["requests", "15s", "auto"],
  ["path", "1500ms", "force_generic_plan"],
] as const)(
  "a connection of the pool for %s has its settings from its first statement on",
  async (use, limit, plans) => {
    const pool = createPool({ connectionString: database.url }, createLog("silent"), use, 2_000);
    const names = [
      "TimeZone",
      "jit",
      "enable_seqscan",
      "enable_bitmapscan",
      "statement_timeout",
      "plan_cache_mode",
    ];
    const { rows } = await pool.query(
      "SELECT array_agg(current_setting(name) ORDER BY place) AS now FROM unnest($1::text[]) WITH ORDINALITY AS n (name, place)",
      [names],
    );
    expect(rows[0]?.now).toEqual(["UTC", "off", "off", "off", limit, plans]);
    await pool.end();
  },
);
