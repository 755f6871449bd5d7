// Lists over many rows: every single filter reads the list's index and little else, whatever it fits. Times are measured by
// `npm run bench -- pages` with a million sessions; here the work is looked at, which no other load on the machine changes.
import { randomUUID } from "node:crypto";
import { callStatuses, type EventName, eventNames, outcomes, sessionStates } from "@sendoff/contract";
import pg from "pg";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { seedPages } from "../../../bench/src/pages-seed.ts";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { logFacetSql, logFacets, sessionFacetSql, sessionFacets } from "../src/database/facets.ts";
import { listSessions } from "../src/lifecycle/list.ts";
import { listUnsent } from "../src/lifecycle/unsent.ts";
import { listLogs } from "../src/logbook/list.ts";
import { listEndpoints } from "../src/tenancy/endpoint-list.ts";

const sessions = 30_000;
const projectId = randomUUID();
const endpointIds = [randomUUID(), randomUUID(), randomUUID()];
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'Large')", [projectId]);
  for (const [n, endpointId] of endpointIds.entries()) {
    await database.pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, timeout_ms)
       VALUES ($1, $2, 'project', $3, 'sealed', 10000)`,
      [endpointId, projectId, `https://example.com/${n}`],
    );
  }
  await seedPages(database.pool, projectId, endpointIds, sessions);
  await database.pool.query("ANALYZE");
});
afterAll(() => database.drop());
afterEach(() => vi.restoreAllMocks());

interface Plan {
  readonly "Node Type": string;
  readonly "Index Name"?: string;
  readonly "Relation Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly Plans?: readonly Plan[];
}

/** What a statement read of the large tables. */
interface Read {
  readonly scans: Set<string>;
  rows: number;
}

/** Runs something and explains each of its statements. */
async function readBy(work: () => Promise<unknown>): Promise<Read> {
  const asked: Array<{ text: string; values: unknown[] }> = [];
  const query = pg.Pool.prototype.query as (...args: unknown[]) => unknown;
  vi.spyOn(pg.Pool.prototype, "query").mockImplementation(function (this: pg.Pool, ...args: unknown[]) {
    asked.push({ text: args[0] as string, values: args[1] as unknown[] });
    return query.apply(this, args);
  } as never);
  await work();
  vi.restoreAllMocks();
  const read: Read = { scans: new Set(), rows: 0 };
  for (const { text, values } of asked) {
    const { rows } = await database.pool.query(`EXPLAIN (ANALYZE, FORMAT JSON) ${text}`, values);
    collect(rows[0]["QUERY PLAN"][0].Plan, read);
  }
  return read;
}

function collect(plan: Plan, read: Read): void {
  if (plan["Actual Loops"] === 0) return;
  const relation = plan["Relation Name"] ?? "";
  if (/^(sessions|events|webhook_logs)/.test(relation)) {
    const index = plan["Index Name"]?.replace(/_(\d{8}|expr|expr1)/g, "") ?? "";
    read.scans.add(`${plan["Node Type"]} ${index}`.trim());
    read.rows += (plan["Actual Rows"] + (plan["Rows Removed by Filter"] ?? 0)) * plan["Actual Loops"];
  }
  for (const child of plan.Plans ?? []) collect(child, read);
}

/** Each facet gives a page of its own at most. */
const pageRows = 51;

describe("facets", () => {
  test("no two kinds of rows have the same, and the database makes those that the filters ask for", async () => {
    const all = sessionFacets({});
    expect(new Set(all).size).toBe(all.length);
    expect(all.length).toBe(3 + (3 + 14) * 2 + 0);
    const { rows } = await database.pool.query<{ facet: string }>(
      `SELECT DISTINCT ${sessionFacetSql} AS facet FROM unnest($1::text[]) AS state, unnest($2::text[]) AS channel,
         unnest($3::text[]) AS call_status
       WHERE (call_status IS NULL OR channel = 'call') AND (call_status IS NULL OR state <> 'open')`,
      [sessionStates, ["call", "text", null], [null, ...callStatuses]],
    );
    expect(rows.map(({ facet }) => facet).sort()).toEqual(all.toSorted());
    for (const status of callStatuses) expect(sessionFacets({ callStatus: status })).toHaveLength(2);
  });

  test("of attempts: the same", async () => {
    const all = logFacets({});
    expect(all).toHaveLength(outcomes.length * eventNames.length);
    const { rows } = await database.pool.query<{ facet: string }>(
      `SELECT ${logFacetSql} AS facet FROM unnest($1::text[]) AS outcome, unnest($2::text[]) AS event`,
      [outcomes, eventNames],
    );
    expect(rows.map(({ facet }) => facet).sort()).toEqual(all.toSorted());
  });
});

const day = 86_400_000;
const ago = (days: number): Date => new Date(Date.now() - days * day);

describe(`the list of ${sessions} sessions`, () => {
  test.each<[what: string, query: object, found: number]>([
    ["everything", {}, 50],
    ["channel", { channel: "text" }, 50],
    ["a call status that most have", { callStatus: "userHangup" }, 50],
    ["a call status that one has", { callStatus: "sipTrunkFailure" }, 1],
    ["a call status that none has", { callStatus: "busy" }, 0],
    ["the state of nearly all", { state: "finalized" }, 50],
    ["the state of few", { state: "open" }, 14],
    ["a state that none has", { state: "ending" }, 0],
    ["a time long ago", { to: ago(20) }, 50],
    ["a span of time", { from: ago(10), to: ago(9) }, 50],
    [
      "all of them",
      { channel: "call", callStatus: "voicemail", state: "finalized", from: ago(20), to: ago(5) },
      50,
    ],
    ["the id of the oldest", { text: "call-00000001" }, 1],
  ])("by %s reads the list's index alone", async (_what, query, found) => {
    const page = await listSessions(database.pool, projectId, { limit: 50, ...query });
    expect(page.sessions).toHaveLength(found);
    if ("text" in query) return;
    const read = await readBy(() => listSessions(database.pool, projectId, { limit: 50, ...query }));
    expect([...read.scans]).toEqual(["Index Scan sessions_listed"]);
    expect(read.rows).toBeLessThanOrEqual(pageRows * 2 + 37);
  });

  test("behind a cursor deep in it reads no more", async () => {
    const { nextCursor } = await listSessions(database.pool, projectId, { limit: 50, to: ago(25) });
    const query = { limit: 50, cursor: nextCursor ?? "" };
    const read = await readBy(() => listSessions(database.pool, projectId, query));
    expect([...read.scans]).toEqual(["Index Scan sessions_listed"]);
    expect(read.rows).toBeLessThanOrEqual(pageRows * 2 + 37);
  });

  test("a text that is rare is found, in steps that each look at a part, newest first", async () => {
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listSessions(database.pool, projectId, { limit: 50, text: "Caller 77", cursor });
      found.push(...page.sessions.map(({ sessionId }) => sessionId));
      expect(page.searchedBackTo === null || page.nextCursor !== null).toBe(true);
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    // 77, 770 to 779 and 7700 to 7799.
    expect(found).toHaveLength(111);
    expect(found).toEqual(found.toSorted().reverse());
  });
});

describe(`the list of ${4 * sessions} attempts`, () => {
  test.each<[what: string, query: () => object, found: number]>([
    ["everything", () => ({}), 50],
    ["an event that most have", () => ({ event: ["session.finalized"] as EventName[] }), 50],
    ["an event that none has", () => ({ event: ["recording.ready"] as EventName[] }), 0],
    ["the outcome of most", () => ({ outcome: ["delivered"] }), 50],
    ["the outcome of one", () => ({ outcome: ["blocked"] }), 1],
    ["an outcome that none has", () => ({ outcome: ["unknown", "cancelled"] }), 0],
    ["an endpoint of a tenth", () => ({ endpointId: endpointIds[1] }), 50],
    ["an endpoint of four", () => ({ endpointId: endpointIds[2] }), 4],
    ["a time long ago", () => ({ to: ago(20) }), 50],
    ["five minutes", () => ({ from: ago(10), to: new Date(ago(10).getTime() + 300_000) }), -1],
  ])("by %s reads the list's index alone", async (_what, query, found) => {
    const page = await listLogs(database.pool, projectId, { limit: 50, ...query() });
    if (found >= 0) expect(page.logs).toHaveLength(found);
    else expect(page.logs.length).toBeGreaterThan(3);
    const read = await readBy(() => listLogs(database.pool, projectId, { limit: 50, ...query() }));
    expect(
      [...read.scans].filter(
        (scan) => !/^Index Scan webhook_logs_\w*listed|^Index Scan webhook_logs_endpoint_id/.test(scan),
      ),
    ).toEqual([]);
    // Of each endpoint and each facet that there is, a page at most.
    expect(read.rows).toBeLessThanOrEqual(pageRows * endpointIds.length * 12);
  });

  test("by a session reads that session's attempts alone", async () => {
    const query = { limit: 50, sessionId: "call-00012345" };
    expect((await listLogs(database.pool, projectId, query)).logs).toHaveLength(4);
    const read = await readBy(() => listLogs(database.pool, projectId, query));
    expect([...read.scans].filter((scan) => !scan.startsWith("Index"))).toEqual([]);
    expect(read.rows).toBeLessThanOrEqual(5);
  });

  test("behind a cursor goes on in order, over the ends of days", async () => {
    const wanted = { from: ago(12.02), to: ago(11.9), limit: 40 };
    const places: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await listLogs(database.pool, projectId, { ...wanted, cursor });
      places.push(...page.logs.map(({ attemptedAt, id }) => `${attemptedAt} ${id.padStart(9)}`));
      cursor = page.nextCursor ?? undefined;
    } while (cursor !== undefined);
    const { rows } = await database.pool.query(
      "SELECT FROM webhook_logs WHERE attempted_at >= $1 AND attempted_at < $2",
      [wanted.from, wanted.to],
    );
    expect(places).toHaveLength(rows.length);
    expect(new Set(places).size).toBe(places.length);
    expect(places.length).toBeGreaterThan(200);
  });
});

describe("the other lists", () => {
  test("events that went nowhere come from their own index", async () => {
    const { events, nextCursor } = await listUnsent(database.pool, projectId, { limit: 50 });
    expect(events).toHaveLength(50);
    expect(events[0]).toMatchObject({ event: "recording.ready", reason: "not_subscribed" });
    const query = { limit: 50, cursor: nextCursor ?? "" };
    const read = await readBy(() => listUnsent(database.pool, projectId, query));
    expect([...read.scans].sort()).toEqual(["Index Scan events_unsent", "Index Scan sessions_pkey"]);
    expect(read.rows).toBeLessThanOrEqual(pageRows * 2);
  });

  test("endpoints are all there, also removed ones, with what they subscribe to", async () => {
    await database.pool.query("UPDATE endpoints SET removed_at = now() WHERE endpoint_id = $1", [
      endpointIds[2],
    ]);
    const listed = await listEndpoints(database.pool, projectId);
    expect(listed.map(({ endpointId }) => endpointId).sort()).toEqual(endpointIds.toSorted());
    expect(listed.at(-1)).toMatchObject({ endpointId: endpointIds[2], removedAt: expect.any(String) });
    expect(listed[0]?.events).toEqual(["session.ended"]);
    // Its attempts are still listed.
    const { logs } = await listLogs(database.pool, projectId, { limit: 50, endpointId: endpointIds[2] });
    expect(logs).toHaveLength(4);
  });
});
