import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { expectErrorBody, expectRefused } from "./refused.ts";

let server: TestServer;
const project = (): string => `/v1/projects/${server.projectId}`;

beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.stop());

const progress = { messagesCount: 1 };
const call = { type: "call-ended", sessionId: "busy-1", callStatus: "userHangup", callDuration: 1 };

test("past 10,000 reports that wait the answer is 503 overloaded, and those that wait are taken", async () => {
  const holder = await server.pool.connect();
  await holder.query("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE");
  const bulk = (): Promise<{ status: number; body: { data: Array<{ status: number; error?: unknown }> } }> =>
    server.api("POST", `${project()}/reports`, Array(1_000).fill(call));
  const bulks = Array.from({ length: 11 }, bulk);
  try {
    // The queue is full when a report is refused at once, although nothing is committed yet.
    await until("a report is refused", async () => {
      const one = server.api("PATCH", `${project()}/sessions/other-1`, progress);
      const first = await Promise.race([one, new Promise((resolve) => setTimeout(resolve, 50, null))]);
      if (first === null) return false;
      expectRefused(await one, "overloaded", "send this one again");
      return true;
    });
  } finally {
    await holder.query("COMMIT");
    holder.release();
  }
  // A bulk that came late was refused as a whole, before it was read.
  const items = (await Promise.all(bulks)).flatMap(({ status, body }) =>
    status === 200 ? body.data : Array(1_000).fill({ status, error: null }),
  );
  expect(items.length).toBe(11_000);
  const refused = items.filter(({ status }) => status === 503);
  expect(items.filter(({ status }) => status === 200).length).toBe(11_000 - refused.length);
  expect(refused.length).toBeGreaterThan(0);
  for (const item of refused.filter(({ error }) => error !== null).slice(0, 3)) {
    expectErrorBody({ error: item.error } as never, "10000");
    expect(item.error).toMatchObject({ code: "overloaded" });
  }
  // With the queue empty again the same report is taken.
  expect((await server.api("PATCH", `${project()}/sessions/other-1`, progress)).status).toBe(200);
});

test("when reports have waited for half a second the next request is refused before it is read, and they are taken", async () => {
  const holder = await server.pool.connect();
  await holder.query("BEGIN; LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE");
  const waiting = Array.from({ length: 300 }, (_, index) => ({ ...call, sessionId: `waits-${index}` }));
  const bulk = server.api("POST", `${project()}/reports`, waiting);
  try {
    await until("a request is refused", async () => {
      // Without a key: nothing of it is looked at.
      const answer = await server.api("POST", `${project()}/reports`, "not JSON", "");
      if (answer.status !== 503) return false;
      expectRefused(answer, "overloaded", "500 ms", "send this one again");
      expect(answer.headers.get("retry-after")).toBe("1");
      return true;
    });
  } finally {
    await holder.query("COMMIT");
    holder.release();
  }
  expect((await bulk).body.data.map(({ status }: { status: number }) => status)).toEqual(
    Array(300).fill(200),
  );
  expect((await server.api("POST", `${project()}/reports`, "not JSON", "")).status).toBe(401);
});

test("while it shuts down a report is refused with 503 draining, and /readyz says so", async () => {
  const held: Array<() => void> = [];
  const sink = await startSink((response) => held.push(() => response.end()));
  await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: { url: sink.url } });
  const ended = { channel: "text", currentNodeId: "bye", messagesCount: 1, extractedVariables: {} };
  await server.api("POST", `${project()}/sessions/last-1/conversation-ended`, ended);
  await sink.arrived(1);
  const stopping = server.stop();
  try {
    const again = await server.api("POST", `${project()}/sessions/last-1/conversation-ended`, ended);
    expectRefused(again, "draining", "shutting down", "send the report again");
    expectRefused(await server.api("GET", "/readyz", undefined, ""), "draining", "shutting down");
    expect((await server.api("GET", "/healthz", undefined, "")).status).toBe(200);
  } finally {
    for (const release of held) release();
    await stopping;
    await sink.close();
    // For afterEach, which stops a server of its own.
    server = await startTestServer();
  }
});

test("a database without this version's tables is 503 database_unavailable at /readyz", async () => {
  expect((await server.api("GET", "/readyz", undefined, "")).status).toBe(200);
  await server.pool.query("DELETE FROM kysely_migration");
  expectRefused(await server.api("GET", "/readyz", undefined, ""), "database_unavailable", "PostgreSQL");
});
