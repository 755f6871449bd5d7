// A receiver with Express and PostgreSQL. Each call is written down once, whatever is delivered twice or dies meanwhile.
// SIGNING_SECRET, DATABASE_URL and RECORDING_HOSTS (with commas) in the environment; PORT is optional.
import { createReceiver, isCall } from "@sendoff/receiver";
import { expressHandler } from "@sendoff/receiver/express";
import { postgresStore } from "@sendoff/receiver/postgres";
import { saveRecording } from "@sendoff/receiver/recordings";
import express from "express";
import pg from "pg";

const {
  SIGNING_SECRET = "",
  DATABASE_URL,
  RECORDING_HOSTS = "",
  RECORDING_FOLDER = "recordings",
  PORT = "4700",
} = process.env;
const pool = new pg.Pool({ connectionString: DATABASE_URL });
// A connection that breaks while nobody uses it is replaced; without a listener it would end the process.
pool.on("error", (error) => console.error(error.message));
await pool.query(
  "CREATE TABLE IF NOT EXISTS calls (session_id text PRIMARY KEY, status text NOT NULL, seconds float8 NOT NULL, recording text)",
);

const receiver = createReceiver({
  verify: { secrets: SIGNING_SECRET },
  store: postgresStore<pg.PoolClient>(pool),
  on: {
    "session.finalized": async (payload, { transaction }) => {
      if (!isCall(payload)) return;
      // The row and the mark that the event is done are one commit.
      await transaction((client) =>
        client.query(
          `INSERT INTO calls (session_id, status, seconds) VALUES ($1, $2, $3)
           ON CONFLICT (session_id) DO UPDATE SET status = excluded.status, seconds = excluded.seconds`,
          [payload.sessionId, payload.callStatus, payload.callDuration],
        ),
      );
    },
    "recording.ready": async (payload, { receivedAt, signal, transaction }) => {
      const saved = await saveRecording(
        payload,
        { folder: RECORDING_FOLDER },
        {
          hosts: RECORDING_HOSTS.split(","),
          receivedAt,
          signal,
          development: process.env.DEVELOPMENT === "yes",
        },
      );
      if (!saved.saved)
        console.error(`no recording of ${payload.sessionId}: ${saved.reason}, ${saved.message}`);
      // It may come before session.finalized: either of them makes the row.
      await transaction((client) =>
        client.query(
          `INSERT INTO calls (session_id, status, seconds, recording) VALUES ($1, 'unknown', 0, $2)
           ON CONFLICT (session_id) DO UPDATE SET recording = excluded.recording`,
          [payload.sessionId, saved.saved ? saved.path : null],
        ),
      );
    },
  },
});
await receiver.start();

const app = express();
// Before any app.use(express.json()): a signature is over the bytes.
app.post("/hook", expressHandler(receiver));
const server = app.listen(Number(PORT), "127.0.0.1", () => console.log("listening"));

process.on("SIGTERM", async () => {
  server.close();
  await receiver.close();
  await pool.end();
});
