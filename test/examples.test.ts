// The examples are run: receivers against a real Sendoff and a runtime that reports, as processes of their own where they
// are processes. Needs the build.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createClient } from "redis";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { freePort, startRedis } from "../packages/receiver/test/redis.ts";
import { bodies, secret, signedHeaders } from "../packages/receiver/test/requests.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { startTestServer, type TestServer } from "./server.ts";
import { until } from "./until.ts";

const dist = resolve(import.meta.dirname, "../examples/dist");
let server: TestServer;
let database: TestDatabase;
let folder: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  server = await startTestServer();
  database = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), "sendoff-test-examples-"));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    const ended = once(child, "exit");
    if (child.exitCode === null && child.kill("SIGKILL")) await ended;
  }
});
afterAll(async () => {
  await server.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

interface Started {
  readonly child: ChildProcess;
  output(): string;
}

function run(file: string, env: Record<string, string>, args: readonly string[] = []): Started {
  const child = spawn(process.execPath, [join(dist, file), ...args], { env: { ...process.env, ...env } });
  children.push(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  return { child, output: () => output };
}

/** Starts a receiver and waits until it listens. */
async function receiver(file: string, env: Record<string, string>): Promise<Started & { url: string }> {
  const port = env.PORT ?? String(await freePort());
  const started = run(file, { ...env, PORT: port });
  await until(`${file} listens`, () => {
    if (started.child.exitCode !== null) throw new Error(`${file} ended:\n${started.output()}`);
    return started.output().includes("listening");
  });
  return { ...started, url: `http://127.0.0.1:${port}` };
}

const allEvents = ["session.ended", "call.ended", "session.finalized", "recording.ready"];

/** Points the agent's webhook at a receiver. */
async function subscribe(
  url: string,
  events: readonly string[] = allEvents,
  headers: object[] = [],
): Promise<void> {
  const agent = `/v1/projects/${server.projectId}/agent`;
  const set = await server.api("PATCH", agent, { postSessionWebhook: { url, headers, events } });
  expect(set.status, set.text).toBe(200);
}

async function signingSecret(): Promise<string> {
  const path = `/v1/projects/${server.projectId}/agent/webhook/secret`;
  return (await server.api("POST", path)).body.data.signingSecret;
}

/** Plays calls with the example of a runtime; answers their sessions. */
async function play(calls: number): Promise<string[]> {
  const runtime = run(
    "runtime.js",
    { SENDOFF_URL: server.apiUrl, SENDOFF_PROJECT: server.projectId, SENDOFF_KEY: server.projectKey },
    [String(calls)],
  );
  const [code] = await once(runtime.child, "close");
  expect(code, runtime.output()).toBe(0);
  const sessions = runtime.output().trim().split("\n");
  expect(sessions).toHaveLength(calls);
  return sessions;
}

const outcomesOf = async (session: string): Promise<string[]> => {
  const logs = await server.api("GET", `/v1/projects/${server.projectId}/webhook-logs?sessionId=${session}`);
  return logs.body.data.map(({ outcome }: { outcome: string }) => outcome);
};

test("the Express receiver writes each call down once, verified, and saves its recording", async () => {
  // The webhook exists first: its secret is what the receiver is started with.
  const port = await freePort();
  await subscribe(`http://127.0.0.1:${port}/hook`);
  const signing = await signingSecret();
  const started = await receiver("express.js", {
    ...{ PORT: String(port), SIGNING_SECRET: signing, DATABASE_URL: database.url, DEVELOPMENT: "yes" },
    ...{ RECORDING_HOSTS: new URL(server.apiUrl).host, RECORDING_FOLDER: join(folder, "saved") },
  });
  const [session = ""] = await play(1);
  const rows = async () =>
    (
      await database.pool.query("SELECT status, seconds, recording FROM calls WHERE session_id = $1", [
        session,
      ])
    ).rows;
  await until("the call is there", async () => (await rows())[0]?.seconds === 78.4);
  expect(await rows()).toEqual([{ status: "userHangup", seconds: 78.4, recording: null }]);
  await until("all is delivered", async () => (await outcomesOf(session)).length === 4);
  expect(new Set(await outcomesOf(session))).toEqual(new Set(["delivered"]));

  // A call with a recording that lies in Sendoff's store.
  const objectKey = `projects/${server.projectId}/sessions/with-audio/audio.ogg`;
  const place = join(server.dataFolder, "recordings", objectKey);
  await mkdir(join(place, ".."), { recursive: true });
  await writeFile(place, Buffer.alloc(50_000, 1));
  const path = `/v1/projects/${server.projectId}/sessions/with-audio/recording-processed`;
  const told = await server.api("POST", path, { success: true, objectKey });
  expect(told.status, told.text).toBe(200);
  const recording = async () =>
    (await database.pool.query("SELECT recording FROM calls WHERE session_id = 'with-audio'")).rows[0]
      ?.recording;
  await until("the recording is saved", async () => (await recording()) !== undefined);
  expect(await recording(), started.output()).toMatch(/[0-9a-f]{64}\.ogg$/);
  expect(await readdir(join(folder, "saved"))).toHaveLength(1);

  const forged = await fetch(`${started.url}/hook`, {
    ...{ method: "POST", body: bodies["call.ended"]("forged") },
    headers: signedHeaders(bodies["call.ended"]("forged")),
  });
  expect(forged.status).toBe(401);
});

test("the Hono receiver joins each session once, by a header, on Redis", async () => {
  const redis = await startRedis();
  const client = createClient({ url: `redis://127.0.0.1:${redis.port}` });
  await client.connect();
  try {
    const started = await receiver("hono.js", {
      ...{ WEBHOOK_TOKEN: "my-own-token", REDIS_URL: `redis://127.0.0.1:${redis.port}` },
    });
    const headers = [{ key: "Authorization", value: "Bearer my-own-token" }];
    await subscribe(`${started.url}/hook`, allEvents.slice(0, 3), headers);
    const sessions = await play(3);
    await until("all are joined", async () => (await client.lLen("sessions")) === 3);
    const told = await client.lRange("sessions", 0, -1);
    expect(told.map((line) => line.split(" ")[0]).sort()).toEqual([...sessions].sort());
    for (const line of told) expect(line).toMatch(/ call .*session\.finalized$/);
    expect(Number(await client.get("call-seconds"))).toBeCloseTo(3 * 78.4);
    expect((await fetch(`${started.url}/hook`, { method: "POST", body: "{}" })).status).toBe(415);
  } finally {
    client.destroy();
    await redis.stop();
  }
});

test("the route for Next takes signed events and writes each down once", async () => {
  await database.pool.query("CREATE TABLE leads (session_id text, variables json)");
  Object.assign(process.env, { DATABASE_URL: database.url, SIGNING_SECRET: secret });
  const { POST, runtime } = await import(join(dist, "next/app/hook/route.js"));
  expect(runtime).toBe("nodejs");
  const body = bodies["session.ended"]("next-1");
  const send = (headers: Record<string, string>): Promise<Response> =>
    POST(new Request("http://next.test/hook", { method: "POST", headers, body }));
  expect((await send(signedHeaders(body))).status).toBe(200);
  expect(await (await send(signedHeaders(body))).json()).toEqual({ status: "duplicate" });
  expect((await send({ "content-type": "application/json" })).status).toBe(401);
  const rows = async () => (await database.pool.query("SELECT * FROM leads")).rows;
  await until("it is handled", async () => (await rows()).length > 0);
  expect(await rows()).toEqual([{ session_id: "next-1", variables: { name: "Nancy" } }]);
});

test("the Lambda answers, and its worker does the work", async () => {
  await database.pool.query("CREATE TABLE outcomes (session_id text, status text)");
  Object.assign(process.env, { DATABASE_URL: database.url, SIGNING_SECRET: secret });
  const { handler, worker } = await import(join(dist, "lambda.js"));
  const body = bodies["call.ended"]("lambda-1");
  const event = { headers: signedHeaders(body), body, requestContext: { http: { method: "POST" } } };
  expect(await handler(event)).toMatchObject({ statusCode: 200, body: '{"status":"accepted"}' });
  expect(await handler({ ...event, body: `${body} ` })).toMatchObject({ statusCode: 401 });
  const rows = async () => (await database.pool.query("SELECT * FROM outcomes")).rows;
  expect(await rows()).toEqual([]);
  expect(await worker({}, { getRemainingTimeInMillis: () => 60_000 })).toEqual({ handled: 1 });
  expect(await rows()).toEqual([{ session_id: "lambda-1", status: "userHangup" }]);
});

test("the receiver of the webhook's documents gets every event, and lacks what they ask for: it believes anybody and handles a duplicate twice", async () => {
  const started = await receiver("seed-receiver.js", {});
  await subscribe(`${started.url}/webhook`);
  const [session = ""] = await play(1);
  await until("all is delivered", async () => (await outcomesOf(session)).length === 4);
  expect(new Set(await outcomesOf(session))).toEqual(new Set(["delivered"]));
  for (const what of ["session ended", "call ended", "call completed"]) {
    expect(started.output()).toContain(`${what} ${session}`);
  }
  const forged = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: bodies["call.ended"]("x"),
  };
  for (let times = 0; times < 2; times += 1) {
    expect((await fetch(`${started.url}/webhook`, forged)).status).toBe(200);
  }
  await until("it has handled it twice", () => started.output().split("call ended x\n").length === 3);
});
