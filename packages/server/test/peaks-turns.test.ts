// Whose recording is examined next: projects take turns, however many recordings one of them has.
import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { createPool } from "../src/database/pool.ts";
import { createLog } from "../src/log.ts";
import { claimPeaks } from "../src/recordings/peaks-table.ts";

const projects = ["a", "b", "c"].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`);
const [a = "", b = "", c = ""] = projects;
let database: TestDatabase;
let pool: pg.Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool({ connectionString: database.url }, createLog("silent"));
});
afterAll(async () => {
  await pool?.end();
  await database?.drop();
});

test("each project with a recording that is due has its turn, and one that is busy is passed by", async () => {
  await pool.query(
    `INSERT INTO recordings (object_key, project_id, session_id, uploaded, kept, content_type, bytes, sha256)
     SELECT p || '/' || n, p::uuid, 's' || n, true, true, 'audio/wav', 100, sha256('x')
     FROM unnest($1::text[]) AS p, generate_series(1, 3) AS n WHERE p <> $2 OR n = 1`,
    [projects, b],
  );
  let last: string | null = null;
  const claim = async (...busy: string[]): Promise<string | null> => {
    const recording = await claimPeaks(pool, last, new Set(busy));
    last = recording?.projectId ?? null;
    return last;
  };
  expect([await claim(), await claim(), await claim()]).toEqual([a, b, c]);
  expect([await claim(a), await claim(c)]).toEqual([c, a]);
  expect(await claim(a, c)).toBeNull();
  expect([await claim(), await claim(), await claim()]).toEqual([a, c, null]);
});
