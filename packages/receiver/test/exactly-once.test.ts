// Whatever happens to the deliveries of sessions and to the processes that take them, each handler's effect happens once
// for each session and event, and each session is joined once. Processes break in between any two calls of the store's
// server: they die before a call, die behind it without hearing its answer, or stand still for longer than their lease
// lasts and then go on as if nothing had been. test/kills.test.ts does the same with real processes and SIGKILL.
import fc from "fast-check";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase } from "../../../test/database.ts";
import { until } from "../../../test/until.ts";
import { createReceiver, type Receiver, type Store } from "../src/index.ts";
import { type PostgresClient, type PostgresPool, postgresStore } from "../src/postgres.ts";
import { type RedisTransaction, redisStore } from "../src/redis.ts";
import { startRedis } from "./redis.ts";
import { secret, signedRequest } from "./requests.ts";
import { type Break, breaks, type Delivery, type Fault, faults, scenarios } from "./sessions.ts";
import { newName } from "./store-kinds.ts";

const leaseMs = 120;
const frozenMs = 300;
const runs = Number(process.env.FUZZ_RUNS ?? 25);
const seed = process.env.FUZZ_SEED === undefined ? {} : { seed: Number(process.env.FUZZ_SEED) };

/** One life of a process: its calls go through `call`, until it breaks. */
interface Life {
  call<Result>(act: () => Promise<Result>): Promise<Result>;
  isDead(): boolean;
}

function lifeOf(at: Break | null): Life {
  let step = 0;
  let isDead = false;
  let thawed: Promise<void> | null = null;
  return {
    isDead: () => isDead,
    async call(act) {
      if (isDead) throw new Error("this process is dead");
      step += 1;
      if (step === at?.step && at.how === "freeze") {
        thawed = new Promise((resolve) => setTimeout(resolve, frozenMs));
      }
      await thawed;
      if (step < (at?.step ?? Number.POSITIVE_INFINITY) || at?.how === "freeze") {
        const result = await act();
        // What it did not hear before it died it does not hear.
        if (isDead) throw new Error("this process is dead");
        return result;
      }
      isDead = true;
      if (at?.how === "after") await act().catch(() => {});
      throw new Error("this process has died");
    },
  };
}

/** A server that keeps events, and what a test does with it. */
interface Ground {
  // biome-ignore lint/suspicious/noExplicitAny: each store gives its handlers something else
  open(name: string, life: Life): Store<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  effect(transaction: any, key: string): unknown;
  effects(name: string): Promise<Record<string, number>>;
  close(): Promise<void>;
}

const grounds: Record<string, () => Promise<Ground>> = {
  async postgres() {
    const database = await createTestDatabase();
    const pool = new pg.Pool({ connectionString: database.url, max: 20 });
    // A connection that was thrown away may still be told that its database is gone.
    pool.on("error", () => {});
    await pool.query("CREATE TABLE effects (key text NOT NULL)");
    return {
      open(name, life) {
        const mortal: PostgresPool = {
          query: (text, values) => life.call(() => pool.query(text, values)),
          async connect() {
            let opened: pg.PoolClient | undefined;
            const connect = async (): Promise<pg.PoolClient> => {
              opened = await pool.connect();
              return opened;
            };
            const client = await life.call(connect).catch((error: unknown) => {
              opened?.release(true);
              throw error;
            });
            return {
              query: (text, values) => life.call(() => client.query(text, values)),
              // The connections of a dead process end with it, and so do their transactions.
              release: (error) => client.release(life.isDead() ? true : error),
            };
          },
        };
        return postgresStore(mortal, { name });
      },
      effect: (client: PostgresClient, key) => client.query("INSERT INTO effects (key) VALUES ($1)", [key]),
      async effects(name) {
        const { rows } = await pool.query<{ key: string; count: string }>(
          "SELECT key, count(*) FROM effects WHERE starts_with(key, $1) GROUP BY key",
          [name],
        );
        return Object.fromEntries(rows.map(({ key, count }) => [key.slice(name.length + 1), Number(count)]));
      },
      async close() {
        await pool.end();
        await database.drop();
      },
    };
  },
  async redis() {
    const server = await startRedis();
    const client = new Redis({ port: server.port, host: "127.0.0.1" });
    return {
      open: (name, life) =>
        redisStore(
          { call: (command: string, args: string[]) => life.call(() => client.call(command, args)) },
          { name },
        ),
      effect: (transaction: RedisTransaction, key) => {
        const [name = "", ...rest] = key.split(" ");
        transaction.queue("HINCRBY", `effects:${name}`, rest.join(" "), 1);
      },
      async effects(name) {
        const all = await client.hgetall(`effects:${name}`);
        return Object.fromEntries(Object.entries(all).map(([key, count]) => [key, Number(count)]));
      },
      async close() {
        client.disconnect();
        await server.stop();
      },
    };
  },
};

/** Makes the deliveries until each was answered 2xx, by one process after the other; a broken one is followed by the next. */
async function play(
  ground: Ground,
  name: string,
  deliveries: readonly Delivery[],
  lives: readonly Break[],
  thrown: readonly Fault[],
): Promise<{ joined: Map<string, string[]> }> {
  const joined = new Map<string, string[]>();
  const receivers: Receiver[] = [];
  let tried = 0;
  const born = (at: Break | null): { receiver: Receiver; life: Life } => {
    const life = lifeOf(at);
    const store = ground.open(name, life);
    const once = async (
      key: string,
      transaction: (act: (given: unknown) => Promise<void>) => Promise<void>,
    ): Promise<void> => {
      const fault = thrown[tried++ % thrown.length] ?? "none";
      // After as many faults as there are, handlers work: else an event could be out of attempts.
      const isDue = (where: Fault): boolean => fault === where && tried <= thrown.length * 2;
      if (isDue("before")) throw new Error("thrown before the effect");
      await transaction(async (given) => {
        await ground.effect(given, `${name} ${key}`);
        if (isDue("within")) throw new Error("thrown within the transaction");
      });
      if (isDue("behind")) throw new Error("thrown behind the transaction");
    };
    const handler = (payload: { event: string; sessionId: string }, context: { transaction: never }) =>
      once(`${payload.sessionId} ${payload.event}`, context.transaction);
    const receiver = createReceiver({
      verify: { secrets: secret },
      store,
      on: {
        ...{ "session.ended": handler, "call.ended": handler },
        ...{ "session.finalized": handler, "recording.ready": handler },
      } as object,
      async onSession(session, { transaction }) {
        await once(`${session.sessionId} joined`, transaction as never);
        joined.set(session.sessionId, [...session.missing]);
      },
      ...{ leaseMs, pollMs: 15, concurrency: 4, retry: { attempts: 1_000, firstMs: 1, mostMs: 5 } },
      notify: () => {},
    });
    receivers.push(receiver);
    return { receiver, life };
  };
  try {
    let open = [...deliveries];
    for (const at of [...lives, null]) {
      const { receiver, life } = born(at);
      await receiver.start().catch(() => {});
      const unanswered: Delivery[] = [];
      await Promise.all(
        open.map(async (delivery) => {
          const response = await receiver.handle(signedRequest(delivery.body));
          if (response.status !== 200) unanswered.push(delivery);
        }),
      );
      // A process that lives on works beside the next one; what it had begun it may go on with.
      open = unanswered;
      if (life.isDead()) void receiver.close({ withinMs: 0 });
    }
    if (open.length > 0) throw new Error(`${open.length} deliveries were refused by a process that lives`);
    const owed = new Set(deliveries.flatMap(({ key }) => [key, `${key.split(" ")[0]} joined`]));
    await until(
      "every effect has happened",
      async () => Object.keys(await ground.effects(name)).length >= owed.size,
      15_000,
    );
    return { joined };
  } finally {
    await Promise.all(receivers.map((receiver) => receiver.close({ withinMs: 2_000 })));
  }
}

describe.each(Object.keys(grounds))("on %s", (groundName) => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await (grounds[groundName] as () => Promise<Ground>)();
  });
  afterAll(async () => ground?.close());

  test("any order, duplicates, faults of handlers and breaks of processes: each effect once, each session joined", async () => {
    await fc.assert(
      fc.asyncProperty(
        scenarios,
        fc.array(breaks, { maxLength: 3 }),
        faults,
        async ({ keys, deliveries }, lives, thrown) => {
          const name = newName();
          const { joined } = await play(ground, name, deliveries, lives, thrown);
          const sessions = [...new Set(keys.map((key) => key.split(" ")[0]))];
          const owed = [...keys, ...sessions.map((session) => `${session} joined`)];
          const effects = await ground.effects(name);
          expect(effects).toEqual(Object.fromEntries(owed.map((key) => [key, 1])));
          for (const missing of joined.values()) expect(missing).toEqual([]);
        },
      ),
      {
        numRuns: runs,
        endOnFailure: true,
        interruptAfterTimeLimit: 240_000,
        markInterruptAsFailure: true,
        ...seed,
      },
    );
  }, 300_000);
});
