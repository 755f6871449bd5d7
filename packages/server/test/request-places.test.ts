// Places of requests: what one key or project has PostgreSQL do leaves room for the others.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { createPool } from "../src/database/pool.ts";
import { createRequestPlaces, inPlaces, type RequestPlaces } from "../src/http/request-places.ts";
import { type Route, route } from "../src/http/route.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { readOverview } from "../src/overview/read.ts";
import { windowOf } from "../src/overview/window.ts";
import { Refusal } from "../src/refusal.ts";
import type { Caller } from "../src/tenancy/keys.ts";
import { startLoops } from "./loops.ts";
import { expectRefused } from "./refused.ts";

const project = (): Caller => ({ kind: "project", keyId: randomUUID(), projectId: randomUUID() });
const developer = (): Caller => ({ kind: "developer", keyId: randomUUID() });

/** Work that lasts until it is ended. */
function heldWork() {
  const ends: Array<() => void> = [];
  return {
    begun: () => ends.length,
    work: () => new Promise<void>((resolve) => ends.push(resolve)),
    endAll: () => {
      for (const end of ends.splice(0)) end();
    },
  };
}

describe("places", () => {
  let database: TestDatabase;
  let places: RequestPlaces;
  let pools: Parameters<typeof createRequestPlaces>[0];
  beforeAll(async () => {
    database = await createTestDatabase();
    const connection = { connectionString: database.url };
    pools = {
      ordinary: createPool(connection, createLog("silent")),
      expensive: createPool(connection, createLog("silent"), "expensive"),
    };
    places = createRequestPlaces(pools, createMetrics());
  });
  afterAll(async () => {
    await Promise.all([pools.ordinary.end(), pools.expensive.end()]);
    await database.drop();
  });

  test.each([
    ["ordinary", 2, 256],
    ["expensive", 1, 64],
  ] as const)(
    "of %s work: %i at a time of one project, %i more wait, the next is refused, another one begins at once",
    async (kind, atATime, waiting) => {
      const [loud, quiet] = [project(), project()];
      const held = heldWork();
      const all = Array.from({ length: atATime + waiting }, () => places.run(kind, loud, held.work));
      const next = places.run(kind, loud, held.work);
      await expect(next).rejects.toMatchObject({ code: "rate_limited", headers: { "retry-after": "1" } });
      await expect(next).rejects.toThrow(`${atATime} `);
      expect(held.begun()).toBe(atATime);
      expect(await places.run(kind, quiet, async (pool) => pool === pools[kind])).toBe(true);
      let done = false;
      void Promise.all(all).then(() => {
        done = true;
      });
      await until("all that waited have begun", async () => {
        held.endAll();
        return done;
      });
    },
  );

  test("two keys of a project share its places, a developer key has places of its own", async () => {
    const one = project();
    const other = { ...one, keyId: randomUUID() };
    const held = heldWork();
    const all = [one, other, other].map((caller) => places.run("ordinary", caller, held.work));
    all.push(places.run("ordinary", developer(), held.work));
    await until("those that may have begun", async () => held.begun() === 3);
    held.endAll();
    await until("the last one has begun", async () => held.begun() === 1);
    held.endAll();
    await Promise.all(all);
  });

  test("work that fails gives its place back", async () => {
    const caller = project();
    for (let n = 0; n < 5; n++) {
      const failing = places.run("expensive", caller, () => Promise.reject(new Error("no")));
      await expect(failing).rejects.toThrow("no");
    }
    expect(await places.run("expensive", caller, async () => "yes")).toBe("yes");
  });

  test("one that waits too long is refused, and its work is not done later", async () => {
    const caller = project();
    const held = heldWork();
    const first = places.run("expensive", caller, held.work);
    const second = places.run("expensive", caller, held.work, 50);
    await expect(second).rejects.toMatchObject({ code: "overloaded", status: 503 });
    await expect(second).rejects.toThrow("1 searches, overviews, exports, counts and large pages under way");
    held.endAll();
    await first;
    expect(held.begun()).toBe(0);
    expect(await places.run("expensive", caller, async () => "free")).toBe("free");
  });

  test("an expensive statement is stopped after 5 s, with what to do", async () => {
    const asked = places.run("expensive", project(), (pool) => pool.query("SELECT pg_sleep(60)"));
    await expect(asked).rejects.toBeInstanceOf(Refusal);
    await expect(asked).rejects.toThrow(/longer than 5 s.*Narrow it/);
  }, 30_000);

  test("an overview takes one connection at a time", async () => {
    let out = 0;
    let most = 0;
    pools.expensive.on("acquire", () => {
      out += 1;
      most = Math.max(most, out);
    });
    pools.expensive.on("release", () => {
      out -= 1;
    });
    const window = windowOf(undefined, undefined, Date.now());
    await readOverview(pools.expensive, randomUUID(), window);
    expect(most).toBe(1);
  });

  test("each route with a key takes one, but for reports and those that take theirs themselves", async () => {
    const made = (more: object): Route =>
      route({
        method: "GET",
        path: "/",
        access: "project",
        summary: "",
        handle: () => new Response(),
        ...more,
      });
    const plain = made({});
    const others = [made({ access: "open" }), made({ admit: () => null }), made({ placesItself: true })];
    const routes = inPlaces([plain, ...others], places);
    expect(routes.slice(1)).toEqual(others);
    expect(routes[0]?.errors).toContain("overloaded");
    const caller = project();
    const held = heldWork();
    const first = [1, 2].map(() => places.run("ordinary", caller, held.work));
    let answered = false;
    const answer = Promise.resolve(routes[0]?.handle({ caller } as never)).then(() => {
      answered = true;
    });
    await until("both are under way", async () => held.begun() === 2);
    expect(answered).toBe(false);
    held.endAll();
    await Promise.all([...first, answer]);
    expect(answered).toBe(true);
  });
});

describe("beside a project whose key loops", () => {
  let server: TestServer;
  interface Owned {
    readonly id: string;
    readonly key: string;
  }
  let loud: Owned;
  let quiet: Owned;
  beforeAll(async () => {
    server = await startTestServer();
    const projectOf = async (name: string): Promise<Owned> =>
      (await server.api("POST", "/v1/projects", { name }, server.developerKey)).body.data;
    [loud, quiet] = [await projectOf("Loud"), await projectOf("Quiet")];
    for (const [{ id }, count] of [
      [loud, 40_000],
      [quiet, 100],
    ] as const) {
      await server.pool.query(
        `INSERT INTO sessions (project_id, session_id, version, channel, created_at, current_node_id, messages_count,
           extracted_variables, deadline_at)
         SELECT $1, 'call-' || number, 1, 'call', now() - number * interval '1 second', 'n', number,
           '{"a":"' || repeat(md5(number::text), 20) || '"}', now() + interval '1 hour'
         FROM generate_series(1, $2::int) AS number`,
        [id, count],
      );
    }
  });
  afterAll(() => server.stop());

  const get = ({ id, key }: Owned, path: string) =>
    server.api("GET", `/v1/projects/${id}${path}`, undefined, key);

  /** Lists of the quiet project, one after another. */
  async function quietLists(count: number): Promise<{ refused: number; p50: number; p99: number }> {
    const times: number[] = [];
    let refused = 0;
    for (let n = 0; n < count; n++) {
      const beganMs = performance.now();
      const { status } = await get(quiet, "/sessions?limit=50");
      times.push(performance.now() - beganMs);
      if (status !== 200) refused += 1;
    }
    times.sort((left, right) => left - right);
    const at = (share: number): number => times[Math.floor(share * (times.length - 1))] ?? 0;
    return { refused, p50: at(0.5), p99: at(0.99) };
  }

  test.each([
    "/sessions?text=nobody-has-this",
    "/overview",
    "/sessions?limit=500",
    "/sessions?page=1&pageSize=500",
  ])(
    "64 loops of %s, lists of another project are answered, and soon",
    async (path) => {
      const calm = await quietLists(20);
      const loops = await startLoops(`${server.apiUrl}/v1/projects/${loud.id}${path}`, loud.key, 64);
      const attacked = await quietLists(40);
      const statuses = await loops.stop();
      const ms = ({ p50, p99 }: typeof calm): string => `p50 ${p50.toFixed(0)} ms, p99 ${p99.toFixed(0)} ms`;
      console.log(`${path}: calm ${ms(calm)}; attacked ${ms(attacked)}; loops ${JSON.stringify(statuses)}`);
      expect(attacked.refused).toBe(0);
      expect(attacked.p99).toBeLessThan(3_000);
      expect(Object.keys(statuses).filter((status) => !["200", "429", "503"].includes(status))).toEqual([]);
    },
    120_000,
  );

  test("4 exports of a project that nobody reads are open at most, and others are taken", async () => {
    const gone = new AbortController();
    const open = (owned: Owned) =>
      fetch(`${server.apiUrl}/v1/projects/${owned.id}/sessions.csv`, {
        headers: { authorization: `Bearer ${owned.key}` },
        signal: gone.signal,
      });
    const opened: Response[] = [];
    for (let n = 0; n < 4; n++) opened.push(await open(loud));
    const fifth = await get(loud, "/sessions.csv?state=ending");
    expectRefused(fifth, "rate_limited", "4 exports", "at most 4");
    expect((await get(quiet, "/sessions.csv")).status).toBe(200);
    gone.abort();
    await until(
      "one is taken again",
      async () => (await get(loud, "/sessions.csv?state=ending")).status === 200,
    );
  });
});
