import { createTestDatabase, type TestDatabase } from "./database.ts";

/** A database whose clock a test can move. */
export interface ClockedDatabase extends TestDatabase {
  /** Its clock is so far ahead of the real one from now on, in milliseconds; behind, when negative. */
  setAhead(ms: number): Promise<void>;
}

/** Statements that ask for the time by `now()` or `clock_timestamp()` get it from functions of the test. */
export async function createClockedDatabase(): Promise<ClockedDatabase> {
  const database = await createTestDatabase();
  const name = new URL(database.url).pathname.slice(1);
  await database.pool.query("CREATE SCHEMA clock");
  await database.pool.query("CREATE TABLE clock.ahead AS SELECT 0::bigint AS ms");
  for (const asked of ["now", "clock_timestamp"]) {
    await database.pool.query(
      `CREATE FUNCTION clock.${asked}() RETURNS timestamptz LANGUAGE sql VOLATILE AS
       'SELECT pg_catalog.${asked}() + ms * interval ''1 millisecond'' FROM clock.ahead'`,
    );
  }
  await database.pool.query(`ALTER DATABASE ${name} SET search_path = public, clock, pg_catalog`);
  return {
    ...database,
    async setAhead(ms) {
      await database.pool.query("UPDATE clock.ahead SET ms = $1", [ms]);
    },
  };
}
