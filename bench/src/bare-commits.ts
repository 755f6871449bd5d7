import type pg from "pg";
import { msNs, nowNs, sleep } from "./time.ts";

/** Enough of them for a p99, and few enough that none waits for the one before. */
const commitsPerSecond = 50;

/**
 * Milliseconds that the smallest durable commit takes here, one by one: a round trip to PostgreSQL and a flush of its log.
 * What waits for a commit cannot be faster than that.
 */
export async function measureBareCommits(pool: pg.Pool, seconds: number): Promise<number[]> {
  const client = await pool.connect();
  try {
    const took: number[] = [];
    for (let number = 0; number < seconds * commitsPerSecond; number++) {
      const beganNs = nowNs();
      // A transaction that has a number of its own writes a record of its commit, and waits until that is on the disk.
      await client.query("SELECT pg_current_xact_id()");
      took.push((nowNs() - beganNs) / msNs);
      await sleep(1_000 / commitsPerSecond);
    }
    return took;
  } finally {
    client.release();
  }
}
