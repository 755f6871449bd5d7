import { rm } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { newFolder, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

let database: TestDatabase;
let dataFolder: string;
let sendoff: SendoffProcess;
let sink: Sink;

beforeAll(async () => {
  database = await createTestDatabase();
  dataFolder = await newFolder();
  sink = await startSink((response) => {
    response.statusCode = sink.received.length === 1 ? 500 : 200;
    response.end();
  });
  sendoff = await startProcess({
    DATABASE_URL: database.url,
    SENDOFF_DATA: dataFolder,
    SENDOFF_ALLOW_HTTP: "loopback",
    PORT: "0",
  });
});
afterAll(async () => {
  await sendoff.end("SIGTERM");
  await sink.close();
  await database.drop();
  await rm(dataFolder, { recursive: true, force: true });
});

const call = async (path: string, method: string, body: unknown): Promise<void> => {
  const { apiUrl, projectId, projectKey } = sendoff.start;
  const response = await fetch(`${apiUrl}/v1/projects/${projectId}${path}`, {
    method,
    headers: { authorization: `Bearer ${projectKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
};

const readiness = async (): Promise<string> => {
  const response = await fetch(`${sendoff.start.apiUrl}/readyz`).catch(() => null);
  if (response === null) return "unreachable";
  const { data, error } = (await response.json().catch(() => ({}))) as {
    data?: { status: string };
    error?: { code: string };
  };
  return data?.status ?? error?.code ?? "starting";
};

// Somebody holds the row of the only delivery that is due: claims pass over it, and nothing else is wrong.
test("a process that begins nothing for 10 s although work is due says so, is not ready, and is started again", async () => {
  await call("/agent", "PATCH", {
    postSessionWebhook: { url: sink.url, delivery: { retries: { attempts: 3, window: "1h" } } },
  });
  await call("/sessions/s-1/conversation-ended", "POST", {
    channel: "text",
    currentNodeId: "closing",
    messagesCount: 1,
    extractedVariables: {},
  });
  await sink.arrived(1);
  const holder = await database.pool.connect();
  await until("the retry waits", async () => {
    await holder.query("ROLLBACK");
    await holder.query("BEGIN");
    const { rows } = await holder.query("SELECT FROM deliveries WHERE state = 'pending' FOR UPDATE");
    return rows.length === 1;
  });
  expect(await readiness()).toBe("ready");
  const seen = new Set<string>();
  await until("the process says that it has stalled", async () => {
    seen.add(await readiness());
    return sendoff.output().includes('"event":"dispatch.stalled"');
  });
  expect(seen).toContain("stalled");
  await until("the process has ended", () => sendoff.output().includes("process has ended"));
  await holder.query("ROLLBACK");
  holder.release();
  await until("the next one is ready", async () => (await readiness()) === "ready");
  await sink.arrived(2);
});
