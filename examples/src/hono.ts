// A receiver with Hono and Redis, for a sender that signs nothing but sends a header of one's own. Counts the minutes of
// calls and tells each session once, when all of its events are there.
// WEBHOOK_TOKEN and REDIS_URL in the environment; PORT is optional.
import { serve } from "@hono/node-server";
import { createReceiver } from "@sendoff/receiver";
import { honoHandler } from "@sendoff/receiver/hono";
import { redisStore } from "@sendoff/receiver/redis";
import { Hono } from "hono";
import { createClient } from "redis";

const { WEBHOOK_TOKEN = "", REDIS_URL = "", PORT = "4700" } = process.env;
const redis = createClient({ url: REDIS_URL });
redis.on("error", (error: Error) => console.error(error.message));
await redis.connect();

const receiver = createReceiver({
  verify: { headers: { authorization: `Bearer ${WEBHOOK_TOKEN}` } },
  store: redisStore(redis),
  // What is waited for: the events that the webhook subscribes to.
  session: { expect: ["session.ended", "call.ended", "session.finalized"] },
  onSession: async (session, { transaction }) => {
    await transaction((commands) => {
      commands.queue("INCRBYFLOAT", "call-seconds", session.finalized?.callDuration ?? 0);
      commands.queue(
        "RPUSH",
        "sessions",
        `${session.sessionId} ${session.channel} ${session.arrived.join(",")}`,
      );
    });
  },
});
await receiver.start();

const app = new Hono();
app.post("/hook", honoHandler(receiver));
const server = serve({ fetch: app.fetch, port: Number(PORT), hostname: "127.0.0.1" }, () =>
  console.log("listening"),
);

process.on("SIGTERM", async () => {
  server.close();
  await receiver.close();
  redis.destroy();
});
