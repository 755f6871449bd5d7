// A receiver in a process of its own, built and without a compiler, that kills itself with SIGKILL at a given call of its
// store's server. Settings come as JSON in the first argument.
import { createServer } from "node:http";
import { Redis } from "ioredis";
import pg from "pg";
import { createReceiver } from "../dist/index.js";
import { nodeHandler } from "../dist/node.js";
import { postgresStore } from "../dist/postgres.js";
import { redisStore } from "../dist/redis.js";

const { kind, url, name, secret, step, how } = JSON.parse(process.argv[2] ?? "{}");

let calls = 0;
/** Makes a call, and dies before it or behind it when it is the one. */
async function mortal(act) {
  calls += 1;
  const isIt = calls === step;
  const die = () => process.kill(process.pid, "SIGKILL");
  if (isIt && how === "before") die();
  const result = act();
  // The bytes of the call are on their way, or it is done: one of the two, as it happens.
  if (isIt && how === "sent") setImmediate(die);
  const settled = await result;
  if (isIt && how === "after") die();
  return settled;
}

const stores = {
  postgres() {
    const pool = new pg.Pool({ connectionString: url });
    return postgresStore(
      {
        query: (text, values) => mortal(() => pool.query(text, values)),
        async connect() {
          const client = await pool.connect();
          return {
            query: (text, values) => mortal(() => client.query(text, values)),
            release: (error) => client.release(error),
          };
        },
      },
      { name },
    );
  },
  redis() {
    const client = new Redis(url);
    return redisStore({ call: (command, args) => mortal(() => client.call(command, args)) }, { name });
  },
};

const effects = {
  postgres: (client, key) => client.query("INSERT INTO effects (key) VALUES ($1)", [`${name} ${key}`]),
  redis: (transaction, key) => transaction.queue("HINCRBY", `effects:${name}`, key, 1),
};

const handler = (payload, { transaction }) =>
  transaction((given) => effects[kind](given, `${payload.sessionId} ${payload.event}`));
const receiver = createReceiver({
  verify: { secrets: secret },
  store: stores[kind](),
  on: {
    ...{ "session.ended": handler, "call.ended": handler },
    ...{ "session.finalized": handler, "recording.ready": handler },
  },
  onSession: ({ sessionId, missing }, { transaction }) =>
    transaction((given) => effects[kind](given, `${sessionId} joined without ${missing.length}`)),
  ...{ leaseMs: 400, pollMs: 50, retry: { attempts: 1_000, firstMs: 1, mostMs: 5 } },
});
const server = createServer(nodeHandler(receiver));
server.listen(0, "127.0.0.1", async () => {
  process.send?.(server.address().port);
  await receiver.start();
});
process.on("disconnect", () => process.exit(0));
