import type pg from "pg";
import type { Clock } from "../clock.ts";

/** For so long a reading of the database's clock is carried on by the monotonic one, in milliseconds. */
const readingMs = 1_000;

/**
 * The database's clock, in milliseconds since 1970, without a question each time: a reading of it goes on with the
 * process's monotonic clock, which no jump of a wall clock moves. While the database does not answer, the last reading
 * goes on.
 *
 * @returns throws only while the database has never answered.
 */
export function createDatabaseClock(pool: pg.Pool, clock: Clock): () => Promise<number> {
  let aheadMs: number | null = null;
  let readAtMs = 0;
  let reading: Promise<void> | null = null;

  const read = async (): Promise<void> => {
    const askedMs = clock.monotonicMs();
    const { rows } = await pool.query<{ now: Date }>({
      name: "database-clock",
      text: "SELECT clock_timestamp() AS now",
    });
    readAtMs = clock.monotonicMs();
    // The middle of the way there and back.
    aheadMs = (rows[0]?.now.getTime() ?? 0) - (askedMs + readAtMs) / 2;
  };
  return async () => {
    if (aheadMs === null || clock.monotonicMs() - readAtMs > readingMs) {
      reading ??= read().finally(() => {
        reading = null;
      });
      await reading.catch((error: unknown) => {
        if (aheadMs === null) throw error;
      });
    }
    return (aheadMs ?? 0) + clock.monotonicMs();
  };
}
