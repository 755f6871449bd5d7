import type pg from "pg";
import { nowNs, sleep } from "./time.ts";

const limitMs = 15 * 60_000;
const lookMs = 500;

/** Waits until the attempts of this moment are counted for the overview. Answers how long that took, in milliseconds. */
export async function untilCounted(database: pg.Pool): Promise<number> {
  const beganNs = nowNs();
  const elapsedMs = (): number => (nowNs() - beganNs) / 1e6;
  const newest = await database.query<{ id: string }>("SELECT max(log_id) AS id FROM webhook_logs");
  for (;;) {
    const { rows } = await database.query<{ left: string }>(
      "SELECT greatest(0, $1::bigint - log_id) AS left FROM tally_progress",
      [newest.rows[0]?.id ?? 0],
    );
    if (Number(rows[0]?.left) === 0) return elapsedMs();
    if (elapsedMs() > limitMs) throw new Error(`${rows[0]?.left} attempts are not counted`);
    await sleep(lookMs);
  }
}
