// Every block of docs/receiving.md is run, as a module of its own beside the installed packages.
import { readFileSync } from "node:fs";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createReceiver, type Receiver } from "../packages/receiver/src/index.ts";
import { freePort, startRedis, type TestRedis } from "../packages/receiver/test/redis.ts";
import { bodies, secret, signedHeaders, textFinalized } from "../packages/receiver/test/requests.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { until } from "./until.ts";

const root = resolve(import.meta.dirname, "..");
const text = readFileSync(join(root, "docs/receiving.md"), "utf8");
const blocks = [...text.matchAll(/```js\n([\s\S]*?)\n```/g)].map((match) => match[1] ?? "");

let folder: string;
let database: TestDatabase;
let redis: TestRedis;
const printed: string[] = [];
const ends: (() => unknown)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  redis = await startRedis();
  folder = await mkdtemp(join(tmpdir(), "sendoff-test-receiving-"));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  Object.assign(process.env, {
    ...{ SIGNING_SECRET: secret, WEBHOOK_TOKEN: "t0ken", DATABASE_URL: database.url },
    ...{ REDIS_URL: `redis://127.0.0.1:${redis.port}`, RECORDING_FOLDER: join(folder, "recordings") },
    PORT: String(await freePort()),
  });
  for (const name of ["log", "error", "warn"] as const) {
    vi.spyOn(console, name).mockImplementation((...args) => void printed.push(args.join(" ")));
  }
});
afterAll(async () => {
  vi.restoreAllMocks();
  for (const end of ends.splice(0)) await end();
  await redis?.stop();
  await database?.drop();
  await rm(folder, { recursive: true, force: true });
});

// biome-ignore lint/suspicious/noExplicitAny: what a block exports is its own affair
type Block = { receiver: Receiver } & Record<string, any>;
const seen = new Set<number>();

/** Runs the block that has this in it. */
async function block(mark: string): Promise<Block> {
  const index = blocks.findIndex((one) => one.includes(mark));
  seen.add(index);
  const file = join(folder, `block-${index}.mjs`);
  await writeFile(file, blocks[index] ?? "throw new Error('docs/receiving.md has no such block')");
  const made = (await import(file)) as Block;
  ends.push(() => made.receiver.close({ withinMs: 100 }));
  return made;
}

const send = async (receiver: Receiver, body: string, headers = signedHeaders(body)): Promise<number> =>
  (await receiver.handle(new Request("http://r.test", { method: "POST", headers, body }))).status;
const isPrinted = (part: string) =>
  until(`${part} is printed`, () => printed.some((line) => line.includes(part)));

describe("docs/receiving.md", () => {
  test("its twenty lines are a receiver", async () => {
    await database.pool.query("CREATE TABLE minutes (session_id text, minutes float8)");
    const { server, pool } = await block("// receiver.mjs");
    ends.push(
      () => server.close(),
      () => pool.end(),
    );
    const body = bodies["session.finalized"]("s");
    for (let times = 0; times < 2; times += 1) {
      const url = `http://127.0.0.1:${process.env.PORT}/`;
      expect((await fetch(url, { method: "POST", headers: signedHeaders(body), body })).status).toBe(200);
    }
    const rows = async () => (await database.pool.query("SELECT * FROM minutes")).rows;
    await until("its handler has run", async () => (await rows()).length > 0);
    expect(await rows()).toEqual([{ session_id: "s", minutes: 1.3 }]);
    expect(
      blocks[0]?.split("\n").filter((line) => /\w/.test(line) && !line.startsWith("//")).length,
    ).toBeLessThanOrEqual(20);
  });

  test("headers of one's own", async () => {
    const { receiver } = await block("WEBHOOK_TOKEN");
    const headers = { "content-type": "application/json", authorization: "Bearer t0ken" };
    expect(await send(receiver, '{"event":"session.sung","sessionId":"s"}', headers)).toBe(200);
    expect(await send(receiver, "{}", { ...headers, authorization: "Bearer guess" })).toBe(401);
    await isPrinted("newer than this package: session.sung");
  });

  test("retries, the dead, and idempotency keys", async () => {
    const keys: unknown[] = [];
    const billing = createServer((request, response) => {
      keys.push(request.headers["idempotency-key"]);
      response.end();
    });
    await new Promise<void>((done) => billing.listen(0, "127.0.0.1", done));
    ends.push(() => billing.close());
    process.env.BILLING_URL = `http://127.0.0.1:${(billing.address() as { port: number }).port}/`;
    const { receiver, reviveAll } = await block("GiveUp");
    expect(await send(receiver, bodies["call.ended"]("s"))).toBe(200);
    await until("it is billed", () => keys.length === 1);
    expect(keys[0]).toMatch(/^\w{32}$/);
    expect(await send(receiver, bodies["call.ended"]("test-1"))).toBe(200);
    await isPrinted("failed for the last time: test-1 call.ended");
    await reviveAll();
    await until("it is dead again", async () => (await receiver.dead()).length === 1);
  });

  test("whole sessions", async () => {
    const { receiver } = await block("onSession");
    await send(receiver, textFinalized("t"));
    await send(receiver, bodies["session.ended"]("t"));
    await isPrinted("t text 3");
  });

  test("recordings", async () => {
    const { receiver } = await block("saveRecording");
    expect(await send(receiver, bodies["recording.ready"]("s", "https://evil.example.com/a"))).toBe(200);
    await isPrinted("s link_refused");
  });

  test("Redis", async () => {
    const made = await block("redisStore");
    ends.push(() => made.redis.disconnect());
    expect(await send(made.receiver, bodies["call.ended"]("s"))).toBe(200);
    await until("its effect is there", async () => (await made.redis.get("call-seconds")) === "78");
  });

  test("a queue", async () => {
    const made = await block("bullMqSink");
    ends.push(() => made.queue.disconnect());
    expect(await send(made.receiver, bodies["call.ended"]("s"))).toBe(200);
    expect(await made.queue.count()).toBe(1);
  });

  test("no block is left out, and what its table of imports names is there", () => {
    expect([...seen].sort()).toEqual(blocks.map((_, index) => index));
    const { exports } = JSON.parse(readFileSync(join(root, "packages/receiver/package.json"), "utf8"));
    const named = new Set(
      [...text.matchAll(/`?@sendoff\/receiver(\/\w+)?["`]/g)].map((match) => `.${match[1] ?? ""}`),
    );
    expect([...named].sort()).toEqual(Object.keys(exports).sort());
  });

  test("the defaults that it tells are those of the source", () => {
    const source = ["receiver", "retry", "join", "incoming"]
      .map((name) => readFileSync(join(root, `packages/receiver/src/${name}.ts`), "utf8"))
      .join();
    for (const value of [
      ...["leaseMs: 30_000", "attempts: 10, firstMs: 1_000, mostMs: 600_000", "keepMs: 30 * 86_400_000"],
      ...["recordingWithinMs: 600_000", "othersWithinMs: 30_000", "finalizedWithinMs: 86_400_000"],
      ...["bodyBytesMax: 1_048_576", "bodyTimeMs: 10_000"],
    ]) {
      expect(source).toContain(value);
    }
    expect(() => createReceiver({ store: {} as never })).toThrow("unverified: true");
  });
});
