// A receiver on AWS Lambda, with PostgreSQL: `handler` behind a function URL, `worker` on a schedule of one minute. Lambda
// stops a process behind its answer, so nothing may be left to do behind it.
import { createReceiver } from "@sendoff/receiver";
import { lambdaHandler, lambdaWorker } from "@sendoff/receiver/lambda";
import { postgresStore } from "@sendoff/receiver/postgres";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 2 });
pool.on("error", (error) => console.error(error.message));

const receiver = createReceiver({
  verify: { secrets: process.env.SIGNING_SECRET ?? "" },
  store: postgresStore<pg.PoolClient>(pool, { name: "lambda" }),
  work: "manual",
  on: {
    "call.ended": ({ sessionId, callStatus }, { transaction }) =>
      transaction((client) =>
        client.query("INSERT INTO outcomes (session_id, status) VALUES ($1, $2)", [sessionId, callStatus]),
      ),
  },
});

export const handler = lambdaHandler(receiver);
export const worker = lambdaWorker(receiver);
