// Effects once, with real processes: a receiver is killed with SIGKILL at any call of its store's server, the next one is
// killed too, and so on; its sender sends again what was not answered. Needs the built package.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase } from "../../../test/database.ts";
import { until } from "../../../test/until.ts";
import { startRedis } from "./redis.ts";
import { secret, signedHeaders } from "./requests.ts";
import { type Delivery, scenarios } from "./sessions.ts";
import { newName } from "./store-kinds.ts";

const runs = Number(process.env.FUZZ_RUNS ?? 5);

interface Kill {
  readonly step: number;
  readonly how: "before" | "sent" | "after";
}

const kills: fc.Arbitrary<Kill[]> = fc.array(
  fc.record({ step: fc.integer({ min: 6, max: 40 }), how: fc.constantFrom("before", "sent", "after") }),
  { minLength: 1, maxLength: 4 },
);

interface Ground {
  readonly url: string;
  effects(name: string): Promise<Record<string, number>>;
  close(): Promise<void>;
}

const grounds: Record<string, () => Promise<Ground>> = {
  async postgres() {
    const database = await createTestDatabase();
    await database.pool.query("CREATE TABLE effects (key text NOT NULL)");
    return {
      url: database.url,
      async effects(name) {
        const { rows } = await database.pool.query<{ key: string; count: string }>(
          "SELECT key, count(*) FROM effects WHERE starts_with(key, $1) GROUP BY key",
          [name],
        );
        return Object.fromEntries(rows.map(({ key, count }) => [key.slice(name.length + 1), Number(count)]));
      },
      close: () => database.drop(),
    };
  },
  async redis() {
    const server = await startRedis();
    const client = new Redis(server.port, "127.0.0.1");
    return {
      url: `redis://127.0.0.1:${server.port}`,
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

/** One process, until it kills itself or everything that is owed has happened. Answers what it has not answered. */
async function live(
  settings: object,
  deliveries: readonly Delivery[],
  isAllDone: () => Promise<boolean>,
): Promise<{ unanswered: Delivery[]; signal: NodeJS.Signals | null }> {
  const child = fork(fileURLToPath(new URL("./kill-process.mjs", import.meta.url)), [
    JSON.stringify(settings),
  ]);
  let ended: { signal: NodeJS.Signals | null } | null = null;
  const end = once(child, "exit").then(([, signal]) => {
    ended = { signal: signal as NodeJS.Signals | null };
  });
  const unanswered: Delivery[] = [];
  const first = await Promise.race([once(child, "message"), end]);
  if (Array.isArray(first)) {
    const [port] = first as [number];
    for (const delivery of deliveries) {
      const isTaken = await fetch(`http://127.0.0.1:${port}/`, {
        ...{ method: "POST", headers: signedHeaders(delivery.body), body: delivery.body },
      }).then(
        ({ status }) => status === 200,
        () => false,
      );
      if (!isTaken) unanswered.push(delivery);
    }
  } else {
    unanswered.push(...deliveries);
  }
  await until("it is killed, or all is done", async () => ended !== null || (await isAllDone()), 30_000);
  if (ended === null) child.disconnect();
  await end;
  return { unanswered, signal: (ended as { signal: NodeJS.Signals | null } | null)?.signal ?? null };
}

describe.each(Object.keys(grounds))("on %s", (kind) => {
  let ground: Ground;
  let killed = 0;
  beforeAll(async () => {
    ground = await (grounds[kind] as () => Promise<Ground>)();
  });
  afterAll(async () => ground?.close());

  test("receivers that are killed with SIGKILL at any step: each effect once, each session joined whole", async () => {
    await fc.assert(
      fc.asyncProperty(scenarios, kills, async ({ keys, deliveries }, deaths) => {
        const name = newName();
        const sessions = [...new Set(keys.map((key) => key.split(" ")[0]))];
        const owed = [...keys, ...sessions.map((session) => `${session} joined without 0`)];
        const isAllDone = async (): Promise<boolean> =>
          Object.keys(await ground.effects(name)).length >= owed.length;
        let open: readonly Delivery[] = deliveries;
        for (const death of [...deaths, { step: -1, how: "before" }]) {
          const { unanswered, signal } = await live(
            { kind, url: ground.url, name, secret, ...death },
            open,
            isAllDone,
          );
          if (signal === "SIGKILL") killed += 1;
          open = unanswered;
        }
        expect(open).toEqual([]);
        expect(await ground.effects(name)).toEqual(Object.fromEntries(owed.map((key) => [key, 1])));
      }),
      { numRuns: runs, endOnFailure: true },
    );
    expect(killed).toBeGreaterThan(0);
  }, 300_000);
});
