// A route handler of Next's app router, with PostgreSQL: app/hook/route.ts. On a server of one's own handlers run in the
// background. On a platform that stops a process behind its answer give it `after` of "next/server" and work: "manual":
//   export const { POST } = nextHandlers(receiver, { after });
import { createReceiver } from "@sendoff/receiver";
import { nextHandlers } from "@sendoff/receiver/next";
import { postgresStore } from "@sendoff/receiver/postgres";
import pg from "pg";

/** Signatures need node:crypto. */
export const runtime = "nodejs";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
pool.on("error", (error) => console.error(error.message));

const receiver = createReceiver({
  verify: { secrets: process.env.SIGNING_SECRET ?? "" },
  store: postgresStore<pg.PoolClient>(pool, { name: "next" }),
  on: {
    "session.ended": ({ sessionId, extractedVariables }, { transaction }) =>
      transaction((client) =>
        client.query("INSERT INTO leads (session_id, variables) VALUES ($1, $2)", [
          sessionId,
          JSON.stringify(extractedVariables),
        ]),
      ),
  },
});

export const { POST } = nextHandlers(receiver);
