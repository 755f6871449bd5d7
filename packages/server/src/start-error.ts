import { ConfigError } from "./config.ts";
import { ConnectError } from "./database/connect-error.ts";
import { UnsafeDatabaseError } from "./database/durability.ts";
import { EmbeddedPostgresError } from "./database/embedded/embedded.ts";
import { MigrationError } from "./database/migrated.ts";
import { PoolerError } from "./database/pooler.ts";
import { isUnavailable } from "./database/unavailable.ts";
import { InstallationError } from "./installation.ts";

/** Sendoff cannot start, and the message says why and what to do. Any other error is a mistake of Sendoff. */
export class StartError extends Error {}

/** An error of the start as a {@link StartError}, when it is one that somebody can do something about. */
export function asStartError(error: unknown): unknown {
  if (error instanceof StartError || !(error instanceof Error)) return error;
  const sentence = sentenceOf(error);
  return sentence === null ? error : new StartError(sentence, { cause: error });
}

const known = [ConfigError, EmbeddedPostgresError, UnsafeDatabaseError, PoolerError, InstallationError];

function sentenceOf(error: Error): string | null {
  if (known.some((kind) => error instanceof kind)) return error.message;
  const code = "code" in error ? String(error.code) : "";
  if (code === "EADDRINUSE") {
    const port = "port" in error ? ` ${String(error.port)}` : "";
    return `Something listens on port${port} already. Stop it, or set PORT to another one.`;
  }
  if (error instanceof ConnectError)
    return `PostgreSQL could not be reached: ${error.message}. Check DATABASE_URL.`;
  // The error of PostgreSQL says more than that a migration has failed.
  if (error instanceof MigrationError) {
    return (error.cause instanceof Error ? sentenceOf(error.cause) : null) ?? error.message;
  }
  // insufficient_privilege
  if (code === "42501") {
    return `The user of DATABASE_URL may not do what Sendoff needs: ${error.message}. Make it the owner of the database, or GRANT CREATE, USAGE ON SCHEMA public to it.`;
  }
  // read_only_sql_transaction
  if (code === "25006") {
    return `PostgreSQL is read-only: ${error.message}. Point DATABASE_URL at the server that takes writes, or name all servers in it: it is found among them.`;
  }
  // It went away after it had been reached.
  if (isUnavailable(error)) return `PostgreSQL could not be asked: ${error.message}. Check DATABASE_URL.`;
  return null;
}
