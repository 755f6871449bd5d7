import pg from "pg";
import type { Logger } from "../log.ts";
import { isUnavailable } from "./unavailable.ts";

/** How to reach PostgreSQL: a `DATABASE_URL`, or what the embedded server answers. */
export type Connection = pg.ClientConfig;

const int8 = 20;

/** Ids and counts are bigint in the tables and stay far below 2^53: plain numbers are right for them. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === int8 ? (Number as (text: string) => number) : pg.types.getTypeParser(oid, format as "text"),
};

/**
 * What a pool's statements are for. Those of the path of a delivery, from the report to the log, have connections of their
 * own: somebody's slow question to the API cannot keep them waiting. They are few, and the same all the time, so each is
 * planned once for a connection and not for its values: planning took longer than a statement of one report. Expensive
 * reads (searches, overviews, exports, counts) have theirs too, with a short time for each statement.
 */
export type PoolUse = "requests" | "path" | "expensive";

/** Most connections of each that one process opens. LISTEN has one or two more. */
const poolSize: Record<PoolUse, number> = { requests: 6, path: 6, expensive: 3 };

/** A statement of a request that takes this long is stuck behind something; its caller answers 503. In milliseconds. */
const requestStatementMs = 15_000;
/** A statement of an expensive read is stopped after this long, in milliseconds. */
export const expensiveStatementMs = 5_000;
/** How much later than `statement_timeout` a client stops waiting, in milliseconds: then PostgreSQL itself is stuck. */
const answerMarginMs = 500;

/**
 * @param timeoutMs how long somebody waits for a connection, and for a statement of the path.
 */
export function createPool(
  connection: Connection,
  log: Logger,
  use: PoolUse = "requests",
  timeoutMs = 5_000,
): pg.Pool {
  const statementMs = use === "expensive" ? expensiveStatementMs : requestStatementMs;
  const waitMs = use === "path" ? timeoutMs : statementMs + answerMarginMs;
  const pool = new pg.Pool({
    application_name: "sendoff",
    max: poolSize[use],
    connectionTimeoutMillis: timeoutMs,
    idleTimeoutMillis: 60_000,
    query_timeout: waitMs,
    statement_timeout: waitMs - answerMarginMs,
    // Statements here take milliseconds; compiling one takes a hundred. Each walks an index, whatever the statistics of a
    // table say that was empty a moment ago; and only a plain index scan marks the entries of dead rows for the next one.
    options: `-c timezone=UTC -c jit=off -c enable_seqscan=off -c enable_bitmapscan=off${use === "path" ? " -c plan_cache_mode=force_generic_plan" : ""}`,
    types,
    ...connection,
  });
  // Without listeners the loss of a connection ends the process: of one that is in use, whose statement tells of it as
  // well, and of an idle one.
  pool.on("connect", (client) => client.on("error", () => {}));
  pool.on("error", (error) => log.warn({ event: "database.connection_lost", reason: error.message }));
  return pool;
}

/** How long a start waits for a PostgreSQL that does not answer yet, and how often it asks, in milliseconds. */
const answerWaitMs = 10_000;
const answerPollMs = 250;

/**
 * Waits until PostgreSQL answers: it may be starting itself, or recovering from a crash.
 *
 * @throws the error of the last try after 10 s, or at once when it is not about being away.
 */
export async function waitForAnswer(pool: pg.Pool): Promise<void> {
  const end = performance.now() + answerWaitMs;
  for (;;) {
    try {
      await pool.query("SELECT 1");
      return;
    } catch (error) {
      if (!isUnavailable(error) || performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, answerPollMs));
  }
}
