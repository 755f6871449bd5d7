/**
 * SQLSTATEs that say nothing about the statement: connection exceptions (08), out of disk, memory or connections (53),
 * shutdown, crash, starting up, dropped database (57P01 to 57P04), cancelled by a time limit (57014), a lock that was not
 * had in time (55P03), a server that is read-only, such as a demoted primary (25006), input and output errors (58).
 */
const passing = /^(08|53|57P0[1-4]|57014|55P03|25006|58)/;
/** Errors of sockets and of looking names up. */
const ofNetwork = /^(ECONN|EPIPE|ENOENT|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOST|ENET)/;
/** Errors that `pg` makes itself have no code. */
const ofClient =
  /Connection terminated|connection timeout|timeout exceeded when trying to connect|Query read timeout/i;

/**
 * Whether an error means that PostgreSQL could not do what it was asked at the moment, rather than that what it was asked
 * is wrong. What was asked may have happened; it is right to ask again.
 *
 * 08P01 (protocol violation) is a mistake of this code when a statement fails with it. When a connection ends with it,
 * which has the severity FATAL, it is what PgBouncer says of any trouble with the server behind it.
 */
export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, severity } = error as { code?: unknown; severity?: unknown };
  if (typeof code !== "string") return ofClient.test(error.message);
  if (code === "08P01") return severity === "FATAL";
  return passing.test(code) || ofNetwork.test(code) || ofClient.test(error.message);
}
