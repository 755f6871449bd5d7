// While a stranger or one key sends what costs the most, reports of another project are answered in time.
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { newFolder, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { atHand, type ServerAtHand } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";

let database: TestDatabase;
let api: SendoffProcess;
let server: ServerAtHand;
const sockets = new Set<Socket>();
let attacking = false;

beforeAll(async () => {
  database = await createTestDatabase();
  const dataFolder = await newFolder();
  const env = { DATABASE_URL: database.url, SENDOFF_DATA: dataFolder, SENDOFF_LOG: "silent", PORT: "0" };
  api = await startProcess(env, "api");
  server = atHand(api.start, dataFolder);
});
afterAll(async () => {
  await api.end("SIGTERM");
  await database.drop();
});

const mib = 1024 * 1024;
const filled = (part: string, bytes: number): string => part.repeat(Math.floor(bytes / part.length));

/** Sends a request again and again over connections of its own, as fast as it is answered. */
function attack(connections: number, request: (round: number) => Buffer): { answers: Map<string, number> } {
  const answers = new Map<string, number>();
  const port = Number(new URL(server.apiUrl).port);
  let round = 0;
  const begin = (): void => {
    const socket = connect(port, "127.0.0.1");
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      if (attacking) setImmediate(begin);
    });
    socket.on("data", (chunk: Buffer) => {
      const status = /^HTTP\/1.1 (\d+)/.exec(chunk.toString("latin1", 0, 20))?.[1];
      if (status === undefined) return;
      answers.set(status, (answers.get(status) ?? 0) + 1);
      if (attacking) socket.write(request(round++));
    });
    socket.write(request(round++));
  };
  attacking = true;
  for (let n = 0; n < connections; n++) begin();
  return { answers };
}

const post = (path: string, body: string, headers: Record<string, string>): Buffer => {
  const all = {
    host: "x",
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body}`);
};

/** Reports of the first project, one after the other. @returns how long each took, in order of length. */
let sent = 0;
async function reportTimes(count: number, prefix: string): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const begunMs = performance.now();
    const answer = await server.api(
      "POST",
      `/v1/projects/${server.projectId}/sessions/${prefix}-${sent++}/call-ended`,
      {
        callStatus: "userHangup",
        callDuration: n,
      },
    );
    expect(answer.status, answer.text).toBe(200);
    times.push(performance.now() - begunMs);
  }
  return times.sort((left, right) => left - right);
}

/** The longest that the server's event loop stood still since this was asked before, in milliseconds. */
async function loopMs(): Promise<number> {
  const metrics = await (await fetch(`${server.apiUrl}/metrics`)).text();
  return Math.round(Number(/^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(metrics)?.[1]) * 1_000);
}

async function neighbourOf(
  name: string,
  connections: number,
  request: (round: number) => Buffer,
): Promise<Map<string, number>> {
  const calm = await reportTimes(25, "calm");
  const calmLoopMs = await loopMs();
  const { answers } = attack(connections, request);
  await until("the attack is answered", () => answers.size > 0);
  const busy = await reportTimes(25, "busy");
  const busyLoopMs = await loopMs();
  attacking = false;
  for (const socket of sockets) socket.destroy();
  const at = (times: number[], share: number): number =>
    Math.round(times[Math.floor(times.length * share)] ?? 0);
  console.info(
    `${name}: p50 ${at(calm, 0.5)} -> ${at(busy, 0.5)} ms, p99 ${at(calm, 0.99)} -> ${at(busy, 0.99)} ms, longest stand of the loop ${calmLoopMs} -> ${busyLoopMs} ms, answers ${JSON.stringify([...answers])}`,
  );
  // The machine may have little time for this test, calm or not.
  expect(at(busy, 0.5)).toBeLessThan(Math.max(300, 8 * at(calm, 0.5)));
  expect(at(busy, 0.99)).toBeLessThan(Math.max(1_500, 8 * at(calm, 0.99)));
  return answers;
}

const keyOf = async (): Promise<{ id: string; key: string }> => {
  const { body } = await server.api("POST", "/v1/projects", { name: "Attacker" }, server.developerKey);
  return body.data;
};

test("a stranger who signs in with 1 MiB of empty objects is refused before it is read", async () => {
  const body = `[${filled("{},", mib - 10)}{}]`;
  const request = post("/dashboard/session", body, { "sendoff-dashboard": "1" });
  const answers = await neighbourOf("sign-ins of 1 MiB", 16, () => request);
  expect([...answers.keys()]).toEqual(["413"]);
});

test("a stranger who sends a new wrong key with each request costs the others little", async () => {
  const answers = await neighbourOf("wrong keys", 16, (round) => {
    const key = `sk_${String(round).padStart(43, "0")}`;
    return Buffer.from(`GET /v1/projects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\n\r\n`);
  });
  expect(answers.get("401")).toBe(60);
  expect(answers.get("429")).toBeGreaterThan(0);
});

test("a key that sends the most costly bodies of 1 MiB waits for its own turns", async () => {
  const { id, key } = await keyOf();
  const names = Array.from({ length: 9_990 }, (_, n) => `"${n}-${filled("k", 85)}":1`);
  const body = `{"extractedVariables":{${names.join(",")}},"wrong":1}`;
  const request = post(`/v1/projects/${id}/sessions/a/conversation-ended`, body, {
    authorization: `Bearer ${key}`,
  });
  expect([...(await neighbourOf("bodies of 1 MiB", 16, () => request)).keys()]).toEqual(["422"]);
});

test("a key that sends 1,000 wrong reports at a time does not hold up the others", async () => {
  const { id, key } = await keyOf();
  const item = {
    type: "call-ended",
    sessionId: "a/b",
    callStatus: "x",
    callDuration: -1,
    conversation: 1,
    endedAt: 1,
  };
  const body = JSON.stringify(Array.from({ length: 1_000 }, () => item));
  const request = post(`/v1/projects/${id}/reports`, body, { authorization: `Bearer ${key}` });
  expect([...(await neighbourOf("wrong reports", 4, () => request)).keys()]).toEqual(["200"]);
});
