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
    { SENDOFF_LOG: "info" },
    null,
    { write: (l) => void process.stderr.write(l) },
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
