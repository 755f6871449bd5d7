import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import pg from "pg";
import { createClient } from "redis";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { memoryStore } from "../src/memory.ts";
import { postgresStore } from "../src/postgres.ts";
import { type RedisTransaction, redisStore } from "../src/redis.ts";
import type { Store } from "../src/store.ts";
import { startRedis, type TestRedis } from "./redis.ts";

/** What a transaction of a store can be told to do: note that something has happened. */
// biome-ignore lint/suspicious/noExplicitAny: each store gives its handlers something else
type AnyStore = Store<any>;

/** A kind of store, ready to be opened by several processes or by several parts of one. */
export interface StoreKind {
  /** A store with a name of its own on each new name. */
  open(name: string): AnyStore;
  /** Counts an effect, with what a transaction gives. */
  // biome-ignore lint/suspicious/noExplicitAny: as above
  effect(transaction: any, key: string): Promise<void>;
  /** How often each effect has happened. */
  effects(prefix: string): Promise<Map<string, number>>;
  close(): Promise<void>;
}

export const kinds: Record<string, () => Promise<StoreKind>> = {
  memory: async () => {
    const stores = new Map<string, AnyStore>();
    const counts = new Map<string, number>();
    return {
      open(name) {
        const store = stores.get(name) ?? memoryStore();
        stores.set(name, store);
        return store;
      },
      async effect(_, key) {
        counts.set(key, (counts.get(key) ?? 0) + 1);
      },
      effects: async (prefix) => new Map([...counts].filter(([key]) => key.startsWith(prefix))),
      async close() {},
    };
  },
  postgres: async () => postgresKind(await createTestDatabase()),
  ioredis: async () => {
    const server = await startRedis();
    const client = new Redis({ port: server.port, host: "127.0.0.1", maxRetriesPerRequest: 1 });
    return redisKind(
      server,
      (name) => redisStore(client, { name }),
      (key) => client.hgetall(key),
      async () => client.disconnect(),
    );
  },
  "node-redis": async () => {
    const server = await startRedis();
    const client = createClient({ url: `redis://127.0.0.1:${server.port}` });
    client.on("error", () => {});
    await client.connect();
    return redisKind(
      server,
      (name) => redisStore(client, { name }),
      async (key) => ({ ...(await client.hGetAll(key)) }) as Record<string, string>,
      async () => client.destroy(),
    );
  },
};

async function postgresKind(database: TestDatabase): Promise<StoreKind> {
  const pool = new pg.Pool({ connectionString: database.url, max: 10 });
  pool.on("error", () => {});
  await pool.query("CREATE TABLE effects (key text NOT NULL)");
  return {
    open: (name) => postgresStore<pg.PoolClient>(pool, { name }),
    async effect(client: pg.PoolClient, key) {
      await client.query("INSERT INTO effects (key) VALUES ($1)", [key]);
    },
    async effects(prefix) {
      const { rows } = await pool.query<{ key: string; count: string }>(
        "SELECT key, count(*) FROM effects WHERE starts_with(key, $1) GROUP BY key",
        [prefix],
      );
      return new Map(rows.map(({ key, count }) => [key, Number(count)]));
    },
    async close() {
      await pool.end();
      await database.drop();
    },
  };
}

function redisKind(
  server: TestRedis,
  open: StoreKind["open"],
  readAll: (key: string) => Promise<Record<string, string>>,
  disconnect: () => Promise<void>,
): StoreKind {
  return {
    open,
    async effect(transaction: RedisTransaction, key) {
      transaction.queue("HINCRBY", "effects", key, 1);
    },
    async effects(prefix) {
      const all = Object.entries(await readAll("effects"));
      return new Map(
        all.filter(([key]) => key.startsWith(prefix)).map(([key, count]) => [key, Number(count)]),
      );
    },
    async close() {
      await disconnect();
      await server.stop();
    },
  };
}

/** A name that no test has had. */
export const newName = (): string => randomBytes(6).toString("hex");
