import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

// How often the path of a delivery goes to PostgreSQL and back, counted at the client: the names of the statements, without
// those that are asked on a timer, whether or not there is anything to do or for many at once.

const onTimers = /^(delivery-find-|session-deadlines|delivery-takeover|dispatchers-count|lane-bring-up)/;

let server: TestServer;
let sink: Sink;
let names: string[] = [];

beforeAll(async () => {
  sink = await startSink();
  server = await startTestServer({ SENDOFF_RATE_LIMIT: "100000:100000" });
  const answer = await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
    postSessionWebhook: { url: sink.url, events: ["session.ended", "session.finalized"] },
  });
  expect(answer.status).toBe(200);
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  vi.spyOn(pg.Client.prototype, "query").mockImplementation(function (this: pg.Client, ...args: unknown[]) {
    const { name } = args[0] as { name?: string };
    if (name !== undefined && !onTimers.test(name)) names.push(name);
    return query.apply(this, args);
  } as never);
  // The key is looked up twice a second and its use noted once a minute, which is no part of what is counted.
  await server.api("GET", `/v1/projects/${server.projectId}/agent`);
});
afterAll(async () => {
  vi.restoreAllMocks();
  await server.stop();
  await sink.close();
});
beforeEach(() => {
  names = [];
});

const counts = (): Record<string, number> => {
  const counted: Record<string, number> = {};
  for (const name of names.filter((one) => !/^keys?-/.test(one))) counted[name] = (counted[name] ?? 0) + 1;
  return counted;
};

const settled = (prefix: string, rows: number): Promise<void> =>
  until("everything is logged and settled", async () => {
    const before = names.length;
    const { rows: found } = await server.pool.query(
      "SELECT (SELECT count(*) FROM webhook_logs WHERE session_id LIKE $1) AS logged, (SELECT count(*) FROM deliveries) AS owed",
      [`${prefix}%`],
    );
    names.splice(before, 0);
    return found[0].logged === rows && found[0].owed === 0;
  });

const ended = (sessionId: string) => ({
  type: "conversation-ended",
  sessionId,
  channel: "text",
  currentNodeId: "end",
  messagesCount: 1,
  extractedVariables: {},
});

describe("ways to PostgreSQL and back", () => {
  test("a report that owes nothing takes two: what is known, and the commit", async () => {
    const { type: _type, sessionId: _sessionId, channel, ...progress } = ended("open-1");
    await server.api("PATCH", `/v1/projects/${server.projectId}/sessions/open-1`, progress);
    expect(counts()).toEqual({ "report-read": 1, "report-write": 1 });
    expect(channel).toBe("text");
  });

  test("a report that is known already takes one", async () => {
    const { type: _type, sessionId, ...body } = ended("known-1");
    const path = `/v1/projects/${server.projectId}/sessions/${sessionId}/conversation-ended`;
    await server.api("POST", path, body);
    await settled("known-1", 2);
    names = [];
    expect((await server.api("POST", path, body)).body.data.duplicate).toBe(true);
    expect(counts()).toEqual({ "report-read": 1 });
  });

  test("two events of a lane take two, and one for each outcome, which claims the second", async () => {
    const { type: _type, sessionId, ...body } = ended("lane-1");
    await server.api(
      "POST",
      `/v1/projects/${server.projectId}/sessions/${sessionId}/conversation-ended`,
      body,
    );
    await settled("lane-1", 2);
    const { "delivery-claim-first": claims, ...others } = counts();
    expect(others).toEqual({ "report-read": 1, "report-write": 1, "delivery-settle": 2 });
    // The look for what is due may come at that very moment.
    expect([undefined, 1]).toContain(claims);
  });

  test("a batch takes as many as a report: a hundred sessions are read and committed together", async () => {
    const reports = Array.from({ length: 100 }, (_, index) => ended(`batch-${index}`));
    const answer = await server.api("POST", `/v1/projects/${server.projectId}/reports`, reports);
    expect(answer.status).toBe(200);
    // The first report is not kept waiting for the others: it goes alone, and the rest in one.
    expect(counts()["report-read"]).toBeLessThanOrEqual(2);
    expect(counts()["report-write"]).toBeLessThanOrEqual(2);
    await settled("batch-", 200);
    // Attempts take none of their own; outcomes and claims go in batches as well.
    expect(names.length).toBeLessThan(100);
  });
});
