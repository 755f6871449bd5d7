import { holdInstallation } from "../owner.ts";
import { type EmbeddedPostgres, startEmbedded } from "./embedded.ts";
import { hasCluster } from "./place.ts";

/** The embedded PostgreSQL, for a command that has something to do in it and then goes. */
export interface Visit {
  readonly connectionString: string;
  /** Leaves it as it was found: running or not. */
  end(): Promise<void>;
}

/**
 * Reaches the embedded PostgreSQL of a data folder, whether a Sendoff runs on it or not. Makes none.
 *
 * @returns null when the folder has none.
 * @throws EmbeddedPostgresError when it cannot be reached or started.
 */
export async function visitEmbedded(dataFolder: string): Promise<Visit | null> {
  if (!(await hasCluster(dataFolder))) return null;
  const server = await startEmbedded({ dataFolder });
  // It ran before and goes on, for whoever it belongs to.
  if (server.adopted) return { connectionString: server.connectionString, end: async () => {} };
  return startedForVisit(server);
}

async function startedForVisit(server: EmbeddedPostgres): Promise<Visit> {
  const { connectionString } = server;
  try {
    // Held, so that a Sendoff that starts meanwhile does not take it up and lose it a moment later. Without the hold one
    // has taken it up already: then it is that one's to end.
    const hold = await holdInstallation({ connectionString });
    return {
      connectionString,
      async end() {
        if (hold === null) return;
        await server.stop();
        await hold.release();
      },
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
