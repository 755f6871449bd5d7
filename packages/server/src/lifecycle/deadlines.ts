import type pg from "pg";
import type { Logger } from "../log.ts";
import { Refusal } from "../refusal.ts";
import type { ReportIntake } from "./apply.ts";

/** Acts on sessions whose deadline has passed. */
export interface Deadlines {
  stop(): Promise<void>;
}

/** How often the table is asked, in milliseconds. A session is finalized within its grace and 2 s (guarantees, L1). */
const lookMs = 250;
/** Most sessions of one look; more are found by the next, which follows at once. */
const sessionsMax = 512;

// The oldest first. Several processes may find the same session: the compare-and-set lets one of them act, and for the
// others there is nothing left to do.
const dueSql = `
  SELECT project_id AS "projectId", session_id AS "sessionId" FROM sessions
  WHERE deadline_at <= now() ORDER BY deadline_at LIMIT $1`;

/** Looks for sessions whose deadline has passed, and gives each to the intake like any report. */
export function watchDeadlines(pool: pg.Pool, intake: ReportIntake, log: Logger): Deadlines {
  let stopped = false;
  let looking: Promise<void> | null = null;
  let timer: NodeJS.Timeout | undefined;

  const look = async (): Promise<void> => {
    const { rows } = await pool.query<{ projectId: string; sessionId: string }>({
      name: "session-deadlines",
      text: dueSql,
      values: [sessionsMax],
    });
    const passed = await Promise.allSettled(
      rows.map(({ projectId, sessionId }) => intake.apply(projectId, sessionId, { type: "deadline" })),
    );
    const acted = passed.filter((one) => one.status === "fulfilled" && !one.value.duplicate).length;
    if (acted > 0) log.info({ event: "session.deadlines_passed", sessions: acted });
    for (const one of passed)
      if (one.status === "rejected" && !(one.reason instanceof Refusal)) throw one.reason;
    if (rows.length === sessionsMax && !stopped) await look();
  };

  const tick = (): void => {
    looking = look()
      .catch((error: Error) => log.error({ event: "session.deadlines_failed", reason: error.message }))
      .finally(() => {
        looking = null;
        if (!stopped) timer = setTimeout(tick, lookMs);
      });
  };
  tick();

  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}
