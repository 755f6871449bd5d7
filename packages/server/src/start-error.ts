import { ConfigError } from "./config.ts";
import { UnsafeDatabaseError } from "./database/durability.ts";
import { EmbeddedPostgresError } from "./database/embedded/embedded.ts";
import { isUnavailable } from "./database/unavailable.ts";
import { InstallationError } from "./installation.ts";

/** Sendoff cannot start, and the message says why and what to do. Any other error is a mistake of Sendoff. */
export class StartError extends Error {}

/** An error of the start as a {@link StartError}, when it is one that somebody can do something about. */
export function asStartError(error: unknown): unknown {
  if (error instanceof StartError || !(error instanceof Error)) return error;
  const known = [ConfigError, EmbeddedPostgresError, UnsafeDatabaseError, InstallationError];
  if (known.some((kind) => error instanceof kind)) return new StartError(error.message, { cause: error });
  const code = "code" in error ? String(error.code) : "";
  if (code === "EADDRINUSE") {
    const port = "port" in error ? ` ${String(error.port)}` : "";
    return new StartError(`Something listens on port${port} already. Stop it, or set PORT to another one.`);
  }
  // Of PostgreSQL's codes, class 28 is a wrong password or user, 3D a database that does not exist.
  if (isUnavailable(error) || /^(EAI_AGAIN|28|3D)/.test(code)) {
    return new StartError(`PostgreSQL could not be reached: ${error.message}. Check DATABASE_URL.`, {
      cause: error,
    });
  }
  return error;
}
