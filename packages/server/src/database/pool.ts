import pg from "pg";
import type { Logger } from "../log.ts";

/** How to reach PostgreSQL: a `DATABASE_URL`, or what the embedded server answers. */
export type Connection = pg.ClientConfig;

const int8 = 20;

/** Ids and counts are bigint in the tables and stay far below 2^53: plain numbers are right for them. */
const types: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) =>
    oid === int8 ? (Number as (text: string) => number) : pg.types.getTypeParser(oid, format as "text"),
};

/** Most connections that one process opens for statements. LISTEN has one more. */
const poolSize = 10;

export function createPool(connection: Connection, log: Logger): pg.Pool {
  const pool = new pg.Pool({
    application_name: "sendoff",
    max: poolSize,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 60_000,
    // A statement that takes this long is stuck behind something; its caller answers 503 and tries again.
    query_timeout: 20_000,
    statement_timeout: 15_000,
    options: "-c timezone=UTC",
    types,
    ...connection,
  });
  // Without a listener the loss of an idle connection ends the process.
  pool.on("error", (error) => log.warn({ event: "database.connection_lost", reason: error.message }));
  return pool;
}

/** Whether an error means that PostgreSQL could not be asked, rather than that it said no. */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  // Connection exceptions, shutdowns, starting up, out of connections, out of disk or memory, cancelled by time-out.
  if (/^(08|57P0[123]|53|57014)/.test(code)) return true;
  if (/^(ECONN|EPIPE|ENOENT|ETIMEDOUT|EHOST|ENET)/.test(code)) return true;
  return /Connection terminated|timeout exceeded when trying to connect|Query read timeout/i.test(
    error.message,
  );
}
