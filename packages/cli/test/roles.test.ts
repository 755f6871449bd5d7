import { rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { newFolder, runSendoff, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

// The halves of Sendoff in processes of their own, on one PostgreSQL.

let database: TestDatabase;
let dataFolder: string;
let env: Record<string, string>;
let api: SendoffProcess;
let sink: Sink;
const workers: SendoffProcess[] = [];
/** Attempts that the sink holds back. */
let hold = false;

beforeAll(async () => {
  database = await createTestDatabase();
  dataFolder = await newFolder();
  env = { DATABASE_URL: database.url, SENDOFF_DATA: dataFolder, SENDOFF_ALLOW_HTTP: "loopback" };
  api = await startProcess({ ...env, PORT: "0" }, "api");
  sink = await startSink((response) => {
    if (!hold) response.end();
  });
  const answer = await call("/agent", "PATCH", {
    postSessionWebhook: {
      url: sink.url,
      events: ["session.ended", "session.finalized"],
      delivery: { timeout: "1s" },
    },
  });
  expect(answer.status).toBe(200);
});
afterAll(async () => {
  for (const one of [...workers, api]) if (one.child.exitCode === null) await one.end("SIGTERM");
  await sink.close();
  await database.drop();
  await rm(dataFolder, { recursive: true, force: true });
});

const call = (path: string, method: string, body: unknown): Promise<Response> =>
  fetch(`${api.start.apiUrl}/v1/projects/${api.start.projectId}${path}`, {
    method,
    headers: { authorization: `Bearer ${api.start.projectKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });

const endSession = async (sessionId: string): Promise<void> => {
  const answer = await call(`/sessions/${sessionId}/conversation-ended`, "POST", {
    channel: "text",
    currentNodeId: "closing",
    messagesCount: 1,
    extractedVariables: {},
  });
  expect(answer.status).toBe(200);
};

const startWorker = async (more: Record<string, string> = {}): Promise<SendoffProcess> => {
  const worker = await startProcess({ ...env, ...more }, "worker");
  workers.push(worker);
  return worker;
};

const settledOf = async (sessionId: string): Promise<Array<{ event: string; settled_as: string | null }>> => {
  const { rows } = await database.pool.query(
    "SELECT event, settled_as FROM webhook_logs WHERE session_id = $1 ORDER BY log_id",
    [sessionId],
  );
  return rows;
};

describe("sendoff api and sendoff worker", () => {
  test("an API alone takes reports and delivers nothing; a worker that comes later delivers what is owed", async () => {
    await endSession("early");
    const owed = await database.pool.query("SELECT state FROM deliveries");
    expect(owed.rows).toEqual([{ state: "pending" }, { state: "pending" }]);
    await startWorker();
    await sink.arrived(2);
    expect(sink.received.map(({ json }) => json.event)).toEqual(["session.ended", "session.finalized"]);
  });

  test("what is reported while both run goes out at once", async () => {
    const begunMs = performance.now();
    await endSession("live");
    await sink.arrived(4);
    // Far less than any poll would take twice; generous for a busy machine.
    expect(performance.now() - begunMs).toBeLessThan(5_000);
  });

  test("a worker that is killed leaves nothing behind: another settles what it had under way", async () => {
    hold = true;
    await endSession("orphaned");
    await sink.arrived(5);
    const [first] = workers;
    await first?.end("SIGKILL");
    const killedMs = performance.now();
    hold = false;
    await startWorker();
    await until(
      "both have settled",
      async () => (await settledOf("orphaned")).filter((row) => row.settled_as !== null).length === 2,
    );
    // 15 s and one timeout (guarantees, L2).
    expect(performance.now() - killedMs).toBeLessThan(16_000);
    expect(await settledOf("orphaned")).toEqual([
      { event: "session.ended", settled_as: null },
      { event: "session.ended", settled_as: "delivered" },
      { event: "session.finalized", settled_as: "delivered" },
    ]);
  });

  test("a worker with a PORT tells of its health and metrics there, and of nothing else", async () => {
    const worker = await startWorker({ PORT: "0" });
    const address = /http:\/\/127\.0\.0\.1:\d+/.exec(worker.output())?.[0] ?? "";
    expect((await fetch(`${address}/readyz`)).status).toBe(200);
    expect(await (await fetch(`${address}/metrics`)).text()).toContain("sendoff_attempts_in_flight");
    expect((await fetch(`${address}/v1/projects`)).status).toBe(404);
  });

  test("neither starts without DATABASE_URL, and says so", async () => {
    for (const role of ["api", "worker"]) {
      const { code, output } = await runSendoff([role], { ...env, DATABASE_URL: "" });
      expect(code).toBe(2);
      expect(output).toContain("DATABASE_URL");
    }
  });
});

describe("a PostgreSQL that does not answer", () => {
  test("is waited for a while, and then named in a sentence", async () => {
    const begunMs = performance.now();
    const { code, output } = await runSendoff(["api"], {
      ...env,
      DATABASE_URL: "postgres://sendoff@127.0.0.1:1/sendoff",
    });
    expect(code).toBe(2);
    expect(performance.now() - begunMs).toBeGreaterThan(10_000);
    expect(output).toMatch(/^PostgreSQL could not be reached: .*ECONNREFUSED.* Check DATABASE_URL\.$/m);
  });
});
