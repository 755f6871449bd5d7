import pg from "pg";
import type { Scope } from "./scope.ts";

/** A transaction that somebody has left open: what it might still see, vacuum may not take away. */
export interface HeldTransaction {
  end(): Promise<void>;
}

/** Opens one with a snapshot and an id of its own, on a connection of its own. */
export async function holdTransaction(scope: Scope, databaseUrl: string): Promise<HeldTransaction> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: "held transaction" });
  client.on("error", () => {});
  await client.connect();
  scope.add(() => client.end());
  await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
  await client.query("SELECT pg_current_xact_id(), (SELECT count(*) FROM endpoints)");
  return {
    async end() {
      await client.query("COMMIT");
    },
  };
}
