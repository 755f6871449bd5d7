import { afterEach, beforeEach, expect, test } from "vitest";
import { type DatabaseProxy, startDatabaseProxy } from "../../../test/database-proxy.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

// PostgreSQL is away for longer than the leases of attempts that are under way. What must be: production, section 1.

/** A lease is the endpoint's timeout and 4.5 s. */
const timeoutMs = 500;
const outageMs = timeoutMs + 4_500 + 1_500;

let proxy: DatabaseProxy;
let server: TestServer;
let sink: Sink;
let release: Array<() => void> = [];
/** Whether the receiver holds its answers back. */
let holding = false;

beforeEach(async () => {
  holding = false;
  release = [];
  sink = await startSink((response) => {
    if (holding) release.push(() => response.end("ok"));
    else response.end("ok");
  });
  server = await startTestServer(
    { SENDOFF_DATABASE_TIMEOUT: "2s" },
    null,
    undefined,
    undefined,
    async (url) => {
      proxy = await startDatabaseProxy(url);
      return proxy.url;
    },
  );
  await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
    postSessionWebhook: {
      url: sink.url,
      events: ["session.ended", "session.finalized"],
      delivery: { timeout: `${timeoutMs}ms` },
    },
  });
});
afterEach(async () => {
  await proxy.restore();
  await server.stop();
  await sink.close();
  await proxy.close();
});

const endSession = (sessionId: string) =>
  server.api("POST", `/v1/projects/${server.projectId}/sessions/${sessionId}/conversation-ended`, {
    channel: "text",
    currentNodeId: "closing",
    messagesCount: 1,
    extractedVariables: {},
  });

const logs = async (): Promise<
  Array<{ sessionId: string; event: string; outcome: string; settledAs: string }>
> => {
  const { rows } = await server.pool.query(
    `SELECT session_id AS "sessionId", event, outcome, settled_as AS "settledAs" FROM webhook_logs ORDER BY log_id`,
  );
  return rows;
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (const [how, away] of [
  ["refuses connections", () => proxy.cut()],
  ["does not answer", async () => proxy.freeze()],
] as const) {
  test(`work goes on within 2 s when PostgreSQL ${how} for longer than a lease while attempts are under way`, async () => {
    holding = true;
    for (const id of ["a-1", "a-2", "a-3"]) expect((await endSession(id)).status).toBe(200);
    await sink.arrived(3);
    await away();
    holding = false;
    for (const answer of release) answer();
    await pause(outageMs);
    await proxy.restore();
    const backMs = performance.now();
    await until("a report is taken", async () => (await endSession("b-1")).status === 200);
    const takenMs = performance.now() - backMs;
    await until("every delivery has settled", async () => (await logs()).length === 8);
    const settledMs = performance.now() - backMs;
    // The outcome was known all the time: it is not lost because its lease ended while PostgreSQL was away.
    expect((await logs()).map(({ settledAs }) => settledAs)).toEqual(Array(8).fill("delivered"));
    expect(sink.received.length).toBe(8);
    // 1 s and 2 s on an idle machine (guarantees, L3 and L7).
    expect(takenMs).toBeLessThan(4_000);
    expect(settledMs).toBeLessThan(6_000);
  });
}

test("what a commit claimed whose answer was lost is sent once, by the process that made the commit", async () => {
  proxy.dropAnswersTo("report-write");
  const report = endSession("lost-1");
  await until("the commit has claimed", async () => {
    const { rows } = await server.pool.query("SELECT FROM deliveries WHERE state = 'in_flight'");
    return rows.length === 1;
  });
  await proxy.cut();
  await proxy.restore();
  // The client cannot know whether its report was stored; the same one again is a duplicate.
  expect((await report).status).toBe(503);
  expect((await endSession("lost-1")).body.data.duplicate).toBe(true);
  await until("both deliveries have settled", async () => (await logs()).length === 2);
  expect((await logs()).map(({ settledAs }) => settledAs)).toEqual(["delivered", "delivered"]);
  expect(sink.received.length).toBe(2);
});

test("an attempt whose outcome is on its way to a PostgreSQL that does not answer is not made again", async () => {
  holding = true;
  expect((await endSession("slow-1")).status).toBe(200);
  await sink.arrived(1);
  proxy.freeze();
  holding = false;
  for (const answer of release) answer();
  await pause(3_000);
  await proxy.restore();
  await until("both deliveries have settled", async () => (await logs()).length === 2);
  expect(sink.received.map(({ headers }) => headers["sendoff-attempt"])).toEqual(["1", "1"]);
});

test("a report is answered with 503 within the time limit when PostgreSQL hangs, and so are those that wait behind it", async () => {
  proxy.freeze();
  const beganMs = performance.now();
  const reports = Array.from({ length: 20 }, (_, index) => endSession(`hang-${index}`));
  for (const { status, body } of await Promise.all(reports)) {
    expect(status).toBe(503);
    expect(body.error.code).toBe("database_unavailable");
  }
  // 2 s is the limit; connections that were idle are found out of use one after the other.
  expect(performance.now() - beganMs).toBeLessThan(6_000);
});

test("/readyz says 503 while PostgreSQL is away, /metrics answers without what only PostgreSQL knows, both come back", async () => {
  const get = (path: string) => server.api("GET", path, undefined, "");
  expect((await get("/readyz")).status).toBe(200);
  expect((await get("/metrics")).text).toMatch(/^sendoff_database_up 1$/m);
  expect((await get("/metrics")).text).toMatch(/^sendoff_queue_age_seconds 0$/m);
  for (const away of [() => proxy.cut(), async () => proxy.freeze()]) {
    await away();
    await until("/readyz is 503", async () => (await get("/readyz")).status === 503);
    expect((await get("/readyz")).body.error.code).toBe("database_unavailable");
    const metrics = await get("/metrics");
    expect(metrics.status).toBe(200);
    expect(metrics.text).toMatch(/^sendoff_database_up 0$/m);
    expect(metrics.text).toMatch(/^sendoff_attempts_in_flight 0$/m);
    expect(metrics.text).not.toMatch(/^sendoff_queue_age_seconds/m);
    await proxy.restore();
    await until("/readyz is 200", async () => (await get("/readyz")).status === 200);
  }
});
