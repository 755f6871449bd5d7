/** Ends most sentences of this error: what an operator can always do instead. */
export const USE_ANOTHER = "Set DATABASE_URL to a PostgreSQL 15 or later instead.";

/**
 * The embedded PostgreSQL could not be found, made, started or stopped. The message is for the person who
 * started Sendoff: what was found, where, what was expected, and what to do.
 */
export class EmbeddedPostgresError extends Error {
  override name = "EmbeddedPostgresError";
}

/** The code of a failed system call (`ENOENT`, `EACCES`) or of PostgreSQL (`57P03`); "" when there is none. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : "";
}
