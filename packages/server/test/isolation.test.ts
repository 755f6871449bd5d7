import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

let server: TestServer;
const sinks: Sink[] = [];

beforeAll(async () => {
  server = await startTestServer({ SENDOFF_IN_FLIGHT_MAX: "64", SENDOFF_ENDPOINT_IN_FLIGHT_MAX: "8" });
});
afterAll(() => server.stop());
afterEach(async () => {
  for (const sink of sinks.splice(0)) await sink.close();
});

async function newSink(respond?: Parameters<typeof startSink>[0]): Promise<Sink> {
  const sink = await startSink(respond);
  sinks.push(sink);
  return sink;
}

/** A sink that answers after a while and counts how many requests it has open at a time. */
async function newCountingSink(answerAfterMs: number): Promise<{ sink: Sink; mostOpen(): number }> {
  let open = 0;
  let most = 0;
  const sink = await newSink((response) => {
    open += 1;
    most = Math.max(most, open);
    setTimeout(() => {
      open -= 1;
      response.end();
    }, answerAfterMs);
  });
  return { sink, mostOpen: () => most };
}

/** A project whose agent points at a sink. */
async function projectAt(sink: Sink, webhook: object = {}): Promise<{ id: string; key: string }> {
  const { body } = await server.api("POST", "/v1/projects", { name: "p" }, server.developerKey);
  const { id, key } = body.data;
  const answer = await server.api(
    "PATCH",
    `/v1/projects/${id}/agent`,
    { postSessionWebhook: { url: sink.url, ...webhook } },
    key,
  );
  expect(answer.status, answer.text).toBe(200);
  return { id, key };
}

const reports = (count: number, prefix: string): object[] =>
  Array.from({ length: count }, (_, index) => ({
    type: "conversation-ended",
    sessionId: `${prefix}-${index}`,
    channel: "text",
    currentNodeId: "closing",
    messagesCount: 1,
    extractedVariables: {},
  }));

async function endSessions(
  project: { id: string; key: string },
  count: number,
  prefix: string,
): Promise<void> {
  const { status, text } = await server.api(
    "POST",
    `/v1/projects/${project.id}/reports`,
    reports(count, prefix),
    project.key,
  );
  expect(status, text).toBe(200);
}

describe("isolation", () => {
  test("no endpoint ever has more attempts in flight than its cap, and all are delivered", async () => {
    const { sink, mostOpen } = await newCountingSink(20);
    const project = await projectAt(sink);
    await endSessions(project, 120, "capped");
    await sink.arrived(120);
    // Of 64 places an endpoint may have a sixteenth of what is free: 4, as long as it is alone.
    expect(mostOpen()).toBeLessThanOrEqual(8);
    expect(mostOpen()).toBeGreaterThanOrEqual(2);
  });

  test("the cap holds also while lanes go on: three events of each call, many calls at once", async () => {
    const { sink, mostOpen } = await newCountingSink(10);
    const project = await projectAt(sink, { events: ["session.ended", "call.ended", "session.finalized"] });
    const calls = reports(100, "lanes").flatMap((report) => [
      { ...report, channel: "call" },
      {
        type: "call-ended",
        sessionId: (report as { sessionId: string }).sessionId,
        callStatus: "userHangup",
        callDuration: 1,
      },
    ]);
    await server.api("POST", `/v1/projects/${project.id}/reports`, calls, project.key);
    await sink.arrived(300);
    expect(mostOpen()).toBeLessThanOrEqual(8);
    expect(mostOpen()).toBeGreaterThanOrEqual(2);
  });

  test("endpoints that never answer leave room for the others, however many they are and however much they are owed", async () => {
    const hole = await newSink(() => {});
    const holes = await Promise.all(
      Array.from({ length: 12 }, () => projectAt(hole, { delivery: { timeout: "10s" } })),
    );
    for (const project of holes) await endSessions(project, 40, "hole");
    await until("the holes have taken what they can", () => hole.received.length >= 12);
    const healthy = await newSink();
    const project = await projectAt(healthy);
    const begunMs = performance.now();
    await endSessions(project, 30, "healthy");
    await healthy.arrived(30);
    // Nobody waited for a hole's time-out.
    expect(performance.now() - begunMs).toBeLessThan(8_000);
    expect(hole.received.length).toBeLessThan(64);
  });

  test("where nobody is, few are tried while they wait, and all the others are delivered when somebody is there", async () => {
    const gone = await startSink();
    const project = await projectAt(gone);
    await gone.close();
    const settled = async (): Promise<number> => {
      const { rows } = await server.pool.query<{ n: number }>(
        "SELECT count(*) AS n FROM webhook_logs WHERE project_id = $1",
        [project.id],
      );
      return rows[0]?.n ?? 0;
    };
    await endSessions(project, 200, "absent");
    await until("nobody's absence is noticed", async () => (await settled()) >= 8);
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const failed = await settled();
    // Rounds of four, a second apart. Without pauses 200 take half a second.
    expect(failed).toBeLessThan(40);
    const back = await startSink(undefined, Number(new URL(gone.url).port));
    sinks.push(back);
    await until("the rest is delivered", async () => (await settled()) === 200);
    expect(back.received.length).toBeGreaterThan(150);
  });

  test("retries of an endpoint do not keep its first attempts out", async () => {
    let failing = true;
    const sink = await newSink((response, { json }) => {
      response.statusCode = failing && json.sessionId.startsWith("old") ? 500 : 200;
      response.end();
    });
    const project = await projectAt(sink, { delivery: { retries: { attempts: 6, window: "12s" } } });
    await endSessions(project, 60, "old");
    await sink.arrived(60);
    await endSessions(project, 10, "fresh");
    await until(
      "the fresh ones have arrived",
      () => sink.received.filter(({ json }) => json.sessionId.startsWith("fresh")).length === 10,
    );
    failing = false;
    await until("the old ones are delivered in the end", async () => {
      const { rows } = await server.pool.query(
        "SELECT count(*) AS n FROM webhook_logs WHERE session_id LIKE 'old-%' AND settled_as = 'delivered'",
      );
      return rows[0].n === 60;
    });
  });
});

describe("/metrics", () => {
  test("counts reports, events, attempts and settled deliveries, and tells of the queue", async () => {
    const sink = await newSink();
    const project = await projectAt(sink);
    await endSessions(project, 5, "counted");
    await endSessions(project, 5, "counted");
    await sink.arrived(5);
    await until("the attempts are counted", async () => {
      const { text } = await server.api("GET", "/metrics", undefined, "");
      return /sendoff_attempts_total\{outcome="delivered",trigger="live"\} \d+/.test(text);
    });
    const { text } = await server.api("GET", "/metrics", undefined, "");
    expect(text).toMatch(/sendoff_reports_total\{type="conversation-ended",result="accepted"\} \d+/);
    expect(text).toMatch(/sendoff_reports_total\{type="conversation-ended",result="duplicate"\} 5/);
    expect(text).toMatch(/sendoff_events_total\{event="session.finalized"\} \d+/);
    expect(text).toMatch(/sendoff_deliveries_settled_total\{state="delivered"\} \d+/);
    expect(text).toMatch(/sendoff_queue_age_seconds \d/);
    expect(text).toMatch(/sendoff_attempts_in_flight \d/);
  });
});
