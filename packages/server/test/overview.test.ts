// The numbers of the overview: counted once each, in their minute, ten minutes and hour, and true to the tables.
import { randomUUID } from "node:crypto";
import { Overview } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { createLog } from "../src/log.ts";
import { ensureLogPartitions } from "../src/logbook/partitions.ts";
import { countStep, readProgress } from "../src/overview/count.ts";
import { percentile } from "../src/overview/durations.ts";
import { readOverview } from "../src/overview/read.ts";
import { countReports } from "../src/overview/reports.ts";
import { addTallies, removeOldTallies } from "../src/overview/store.ts";
import { windowOf } from "../src/overview/window.ts";
import { expectRefused } from "./refused.ts";

describe("the buckets of a span", () => {
  const now = Date.parse("2026-05-03T08:42:11.512Z");
  const at = (text: string): Date => new Date(text);
  test.each<[what: string, from: Date | undefined, to: Date | undefined, seconds: number, buckets: number]>([
    ["nothing said: the last hour", undefined, undefined, 60, 61],
    ["three hours", at("2026-05-03T05:42:00Z"), at("2026-05-03T08:42:00Z"), 60, 180],
    ["a little more", at("2026-05-03T05:41:00Z"), at("2026-05-03T08:42:00Z"), 600, 19],
    ["a day", at("2026-05-02T08:40:00Z"), at("2026-05-03T08:40:00Z"), 600, 144],
    ["31 days", at("2026-04-02T08:00:00Z"), at("2026-05-03T08:00:00Z"), 3_600, 744],
    ["an hour of five days ago", at("2026-04-28T08:00:00Z"), at("2026-04-28T09:00:00Z"), 600, 6],
    ["an hour of a month ago", at("2026-04-03T08:00:00Z"), at("2026-04-03T09:00:00Z"), 3_600, 1],
  ])("%s", (_what, from, to, seconds, buckets) => {
    const window = windowOf(from, to, now);
    expect(window.bucketSeconds).toBe(seconds);
    expect((window.toMs - window.fromMs) / seconds / 1_000).toBe(buckets);
    expect(window.fromMs).toBeLessThanOrEqual(from?.getTime() ?? now - 3_600_000);
  });

  test.each<[what: string, from: Date, to: Date]>([
    ["backwards", at("2026-05-03T08:00:00Z"), at("2026-05-03T07:00:00Z")],
    ["in the future", at("2027-05-03T08:00:00Z"), at("2027-05-03T09:00:00Z")],
    ["longer than 31 days", at("2026-03-03T08:00:00Z"), at("2026-05-03T08:00:00Z")],
  ])("%s is refused", (_what, from, to) => {
    expect(() => windowOf(from, to, now)).toThrow(/expected/);
  });
});

test("a percentile of durations is off by a tenth at most", async () => {
  const database = await createTestDatabase();
  const { durationClassSql } = await import("../src/overview/durations.ts");
  const durations = Array.from({ length: 2_000 }, (_, n) => 0.3 * 1.006 ** n);
  const { rows } = await database.pool.query<{ index: string }>(
    `SELECT ${durationClassSql("ms")} AS index FROM unnest($1::real[]) AS ms`,
    [durations],
  );
  for (const [n, { index }] of rows.entries()) {
    const ms = Math.max(1, durations[n] ?? 0);
    const said = percentile(new Map([[Number(index), 3]]), 0.95) ?? 0;
    expect(Math.abs(said - ms) / ms, `${ms}`).toBeLessThan(0.1);
  }
  expect(percentile(new Map(), 0.5)).toBeNull();
  const two = new Map([
    [10, 95],
    [30, 5],
  ]);
  expect(percentile(two, 0.95)).toBe(percentile(new Map([[10, 1]]), 0.5));
  expect(percentile(two, 0.96)).toBe(percentile(new Map([[30, 1]]), 0.5));
  await database.drop();
});

describe("counting beside the work", () => {
  let database: TestDatabase;
  const projectId = randomUUID();
  const endpointId = randomUUID();
  beforeAll(async () => {
    database = await createTestDatabase();
    await ensureLogPartitions(database.pool);
    await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'Counted')", [projectId]);
    await database.pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, timeout_ms)
       VALUES ($1, $2, 'agent', 'https://example.com/', 'sealed', 10000)`,
      [endpointId, projectId],
    );
  });
  afterAll(() => database.drop());

  /** Rows of a minute in the past: of each attempt the outcome, how it settled and how long it took. */
  const log = (rows: Array<[outcome: string, settledAs: string | null, ms: number, trigger?: string]>) =>
    database.pool.query(
      `INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id, endpoint_id,
         url, attempt, trigger, outcome, response_status, duration_ms, attempted_at, logged_at, settled_as)
       SELECT $1, 1, 'a', 1, 'session.ended', 'msg', 1, $2, 'https://example.com/', 1, trigger, outcome,
         CASE outcome WHEN 'delivered' THEN 200 END, ms, now() - interval '10 minutes', now() - interval '5 minutes', settled
       FROM unnest($3::text[], $4::text[], $5::real[], $6::text[]) AS row (outcome, settled, ms, trigger)`,
      [
        projectId,
        endpointId,
        rows.map(([outcome]) => outcome),
        rows.map(([, settled]) => settled),
        rows.map(([, , ms]) => ms),
        rows.map(([, , , trigger]) => trigger ?? "live"),
      ],
    );
  const counts = async (kind: string): Promise<Record<string, number>> => {
    const { rows } = await database.pool.query<{ key: string; count: number }>(
      `SELECT span_seconds || ' ' || subject AS key, sum(count)::bigint AS count FROM tallies
       WHERE project_id = $1 AND kind = $2 GROUP BY 1`,
      [projectId, kind],
    );
    return Object.fromEntries(rows.map(({ key, count }) => [key.trim(), count]));
  };
  const overview = (): Promise<Overview> =>
    readOverview(database.pool, projectId, windowOf(undefined, undefined, Date.now()));

  test("each row is counted once, whoever counts and however often, and the same before and after", async () => {
    await log([
      ["delivered", "delivered", 100],
      ["delivered", "delivered", 100],
      ["rejected", null, 50],
      ["rejected", "exhausted", 50],
      ["timed_out", "failed", 1000],
      ["unknown", "unknown", 0],
      ["cancelled", "cancelled", 0],
      ["delivered", "delivered", 5, "test"],
    ]);
    const before = await overview();
    expect(before.totals).toMatchObject({
      attempts: 6,
      delivered: 2,
      failed: 2,
      unknown: 1,
      successRate: 0.4,
    });
    const steps = await Promise.all(Array.from({ length: 4 }, () => countStep(database.pool)));
    expect(steps.filter((step) => step === false).length).toBeGreaterThan(0);
    while ((await countStep(database.pool)) === true);
    expect(await counts("attempts")).toEqual({ "60": 6, "600": 6, "3600": 6 });
    expect(await counts("settled")).toMatchObject({
      "60 delivered": 2,
      "60 exhausted": 1,
      "60 cancelled": 1,
    });
    expect(await counts("endpoint_failed")).toMatchObject({ [`3600 ${endpointId}`]: 3 });
    const after = await overview();
    const { asOf: _before, ...same } = before;
    const { asOf: _after, queue: _queue, ...counted } = after;
    expect({ ...counted, queue: before.queue }).toEqual(same);
    expect(after.worstEndpoints).toEqual([
      expect.objectContaining({
        endpointId,
        attempts: 6,
        delivered: 2,
        failed: 3,
        successRate: 0.4,
        meanMs: 217,
      }),
    ]);
    expect(after.totals.p50Ms).toBeGreaterThan(90);
    expect(after.totals.p50Ms).toBeLessThan(110);
    expect(after.totals.p95Ms).toBeGreaterThan(900);
  });

  test("a row that is young is not counted yet, nor one behind it, but is in the answer", async () => {
    const progress = await readProgress(database.pool);
    const { totals } = await overview();
    await log([["delivered", "delivered", 10]]);
    await database.pool.query(
      "UPDATE webhook_logs SET logged_at = now() WHERE log_id = (SELECT max(log_id) FROM webhook_logs)",
    );
    await log([["delivered", "delivered", 10]]);
    expect(await countStep(database.pool)).toBe(false);
    expect(await readProgress(database.pool)).toEqual(progress);
    expect((await overview()).totals.delivered).toBe(totals.delivered + 2);
    await database.pool.query("UPDATE webhook_logs SET logged_at = now() - interval '1 minute'");
    await countStep(database.pool);
    expect((await counts("attempts"))["60"]).toBe(8);
    expect((await overview()).totals.delivered).toBe(totals.delivered + 2);
  });

  test("a step that fails counts nothing", async () => {
    await log([["delivered", "delivered", 10]]);
    await database.pool.query("ALTER TABLE tally_progress ADD CONSTRAINT stuck CHECK (log_id < 0) NOT VALID");
    await expect(countStep(database.pool)).rejects.toThrow(/stuck/);
    expect((await counts("attempts"))["60"]).toBe(8);
    await database.pool.query("ALTER TABLE tally_progress DROP CONSTRAINT stuck");
    await countStep(database.pool);
    expect((await counts("attempts"))["60"]).toBe(9);
  });

  test("reports are counted in memory and stored; what is older than it is kept goes", async () => {
    const counter = countReports(database.pool, createLog("silent"));
    counter.count(projectId, "accepted");
    counter.count(projectId, "accepted");
    counter.count(projectId, "late");
    await counter.stop();
    expect(await counts("reports")).toEqual({
      "60 accepted": 2,
      "600 accepted": 2,
      "3600 accepted": 2,
      "60 late": 1,
      "600 late": 1,
      "3600 late": 1,
    });
    expect((await overview()).totals).toMatchObject({ reports: 3, late: 1 });
    const minute = new Date(Date.now() - 3 * 86_400_000);
    await addTallies(database.pool, [{ projectId, minute, kind: "unsent", subject: "old", count: 1 }]);
    expect(await counts("unsent")).toEqual({ "600 old": 1, "3600 old": 1 });
    await database.pool.query(
      "UPDATE tallies SET began_at = began_at - interval '8 days' WHERE subject = 'old'",
    );
    await removeOldTallies(database.pool);
    expect(await counts("unsent")).toEqual({ "3600 old": 1 });
  });
});

describe("GET .../overview", () => {
  let server: TestServer;
  let sink: Sink;
  const project = (): string => `/v1/projects/${server.projectId}`;
  beforeAll(async () => {
    server = await startTestServer();
    sink = await startSink((response, { json }) => {
      response.statusCode = json.event === "call.ended" ? 500 : 200;
      response.end();
    });
    const webhook = { url: sink.url, events: ["session.ended", "call.ended"] };
    await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: webhook });
  });
  afterAll(async () => {
    await server.stop();
    await sink.close();
  });

  test("tells of what has just happened, in the published shape", async () => {
    for (const id of ["a", "b"]) {
      const at = `${project()}/sessions/${id}`;
      await server.api("POST", `${at}/conversation-ended`, {
        channel: "call",
        currentNodeId: "bye",
        messagesCount: 1,
        extractedVariables: {},
      });
      await server.api("POST", `${at}/call-ended`, { callStatus: "userHangup", callDuration: 3 });
    }
    const read = async (): Promise<Overview> =>
      Overview.parse((await server.api("GET", `${project()}/overview`)).body.data);
    await until("all is counted", async () => {
      const { totals } = await read();
      return totals.delivered + totals.failed === 4 && totals.reports === 4;
    });
    const overview = await read();
    expect(overview.totals).toMatchObject({
      events: 6,
      unsent: 2,
      attempts: 4,
      delivered: 2,
      failed: 2,
      unknown: 0,
      late: 0,
      successRate: 0.5,
    });
    expect(overview.unsent).toEqual({ noEndpoint: 0, notSubscribed: 2 });
    expect(overview.bucketSeconds).toBe(60);
    expect(overview.buckets.length).toBeGreaterThanOrEqual(60);
    const sum = (field: "reports" | "attempts" | "events"): number =>
      overview.buckets.reduce((total, bucket) => total + bucket[field], 0);
    expect([sum("reports"), sum("attempts"), sum("events")]).toEqual([4, 4, 6]);
    const [emptiest] = overview.buckets;
    expect(emptiest).toMatchObject({ attempts: 0, successRate: null, p50Ms: null });
    expect(overview.afterHangUp.map(({ event, count }) => [event, count])).toEqual([["session.ended", 2]]);
    expect(overview.worstEndpoints[0]).toMatchObject({
      url: sink.url,
      failed: 2,
      kind: "agent",
      removed: false,
    });
    expect(overview.queue).toEqual({ pending: 0, ageSeconds: 0 });
    expect(Date.now() - Date.parse(overview.asOf)).toBeLessThan(5_000);
  });

  test("refuses a span that is none, and tells nothing of another project", async () => {
    const answer = await server.api(
      "GET",
      `${project()}/overview?from=2026-01-01T00:00:00Z&to=2026-06-01T00:00:00Z`,
    );
    expectRefused(answer, "invalid_query");
    const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
    const other = await server.api("GET", `/v1/projects/${body.data.id}/overview`, undefined, body.data.key);
    expect(other.body.data.totals).toMatchObject({ reports: 0, events: 0, attempts: 0, delivered: 0 });
    expect(other.body.data.worstEndpoints).toEqual([]);
  });
});
