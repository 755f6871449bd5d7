import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestDatabase, emptyTables, type TestDatabase } from "../../../test/database.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import type { Report } from "../src/lifecycle/session.ts";
import { type Claim, type ClaimKind, claimDue as claim } from "../src/outbox/claim.ts";
import { findDue } from "../src/outbox/find.ts";
import { lanesOf as lanesOfHints } from "../src/outbox/hint.ts";
import { bringUp, type Lane } from "../src/outbox/lane.ts";
import { type Settled, type Settling, settle } from "../src/outbox/settle.ts";
import { takeOver } from "../src/outbox/takeover.ts";
import {
  callEnded,
  conversationEnded,
  createTestIntake,
  deliveredResult,
  recordingFailed,
} from "./intake.ts";

const workerA = randomUUID();
const workerB = randomUUID();

const delivered = { ...deliveredResult, responseBody: Buffer.from([0x00, 0xff, 0xfe]), durationMs: 12.5 };
const conversation = conversationEnded("call", '{"name":"Nancy"}');

/** Claims first attempts with room for all of them, from every endpoint with something due. */
const claimDue = (worker: string, limit: number): Promise<Claim[]> => claimKind(worker, "first", limit);

/** Claims retries. */
const claimAgain = (worker: string, limit: number): Promise<Claim[]> => claimKind(worker, "again", limit);

async function claimKind(worker: string, kind: ClaimKind, limit: number): Promise<Claim[]> {
  const { endpoints } = await findDue(database.pool, kind, { perEndpoint: 1_000 });
  return (await claim(database.pool, worker, kind, { limit, perEndpoint: 1_000, endpoints })).claims;
}

/** The lanes of claims that have settled. */
const lanesOf = (claims: Claim[]): Lane[] =>
  claims.map(({ sessionKey, endpointId }) => ({ sessionKey, endpointId }));

let database: TestDatabase;
let intake: ReportIntake;
let projectId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  intake = createTestIntake(database.pool);
});
afterAll(() => database.drop());

beforeEach(async () => {
  await emptyTables(database.pool, "deliveries");
  projectId = randomUUID();
  await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [projectId]);
  await addEndpoint(["session.ended", "call.ended", "session.finalized", "recording.ready"]);
});

async function addEndpoint(events: string[], kind = "agent"): Promise<string> {
  const endpointId = randomUUID();
  await database.pool.query(
    `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, events, timeout_ms)
     VALUES ($1, $2, $3, $4, 'sealed', $5, 10000)`,
    [endpointId, projectId, kind, `https://example.com/${endpointId}`, events],
  );
  return endpointId;
}

async function reportAll(sessionId: string, ...reports: Report[]): Promise<void> {
  for (const report of reports) await intake.apply(projectId, sessionId, report);
}

const settled = (claim: Claim, claimsNext: boolean, result = delivered): Settling => ({
  claim,
  result,
  recordingUrl: null,
  next: { kind: "settled", as: "delivered" },
  claimsNext,
});

const settleAll = (worker: string, claims: Claim[], result = delivered): Promise<ReadonlySet<number>> =>
  settle(
    database.pool,
    worker,
    claims.map((claim) => settled(claim, false, result)),
  ).then(({ stored }) => stored);

/** Settles these with a place for the next one of each lane. */
const settleOn = (worker: string, claims: Claim[]): Promise<Settled> =>
  settle(
    database.pool,
    worker,
    claims.map((claim) => settled(claim, true)),
  );

const events = (claims: Claim[]): string[] => claims.map((claim) => claim.event);

/** Makes the leases of all deliveries lie in the past. */
const endLeases = (): Promise<unknown> =>
  database.pool.query(
    "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE state = 'in_flight'",
  );

async function logs(): Promise<Array<Record<string, unknown>>> {
  const { rows } = await database.pool.query(
    "SELECT event, attempt, trigger, outcome, settled_as FROM webhook_logs WHERE project_id = $1 ORDER BY log_id",
    [projectId],
  );
  return rows;
}

describe("claiming", () => {
  test("of a lane only the earliest unsettled delivery is given out, whatever is due", async () => {
    await reportAll("lane", callEnded, conversation);
    // Even when all of them are due at once.
    await database.pool.query("UPDATE deliveries SET due_at = now()");
    const first = await claimDue(workerA, 100);
    expect(events(first)).toEqual(["call.ended"]);
    expect(await claimDue(workerA, 100)).toEqual([]);
    await settleAll(workerA, first);
    const second = await claimDue(workerB, 100);
    expect(events(second)).toEqual(["session.ended"]);
    await settleAll(workerB, second);
    expect(events(await claimDue(workerA, 100))).toEqual(["session.finalized"]);
  });

  test("recording.ready is outside the lane: it is given out beside the others", async () => {
    await reportAll("beside", conversation, recordingFailed);
    expect(events(await claimDue(workerA, 100)).sort()).toEqual(["recording.ready", "session.ended"]);
  });

  test("lanes of two endpoints go on without each other", async () => {
    const other = await addEndpoint(["session.ended", "call.ended"], "project");
    await reportAll("two", conversation, callEnded);
    const first = await claimDue(workerA, 100);
    expect(events(first)).toEqual(["session.ended", "session.ended"]);
    await settleAll(
      workerA,
      first.filter((claim) => claim.endpointId === other),
    );
    const next = await claimDue(workerA, 100);
    expect(next.map((claim) => [claim.event, claim.endpointId])).toEqual([["call.ended", other]]);
  });

  test("a delivery that was born while the one before it settled is found by its lane, or by itself a little later", async () => {
    await reportAll("born", conversation);
    const first = await claimDue(workerA, 10);
    // The report is committed, and its deliveries see an attempt under way.
    await reportAll("born", callEnded);
    // As if that settled in a commit that had not seen them: the row is gone and nothing was made due.
    await database.pool.query("DELETE FROM deliveries WHERE delivery_id = $1", [first[0]?.deliveryId]);
    expect(await claimDue(workerA, 10)).toEqual([]);
    const { rows } = await database.pool.query(
      "SELECT extract(epoch FROM due_at - now()) AS seconds FROM deliveries WHERE state = 'pending'",
    );
    for (const { seconds } of rows) {
      expect(Number(seconds)).toBeGreaterThan(1);
      expect(Number(seconds)).toBeLessThan(16);
    }
    await bringUp(database.pool, lanesOf(first));
    expect(events(await claimDue(workerA, 10))).toEqual(["call.ended"]);
    // The one behind it waits for it still.
    await bringUp(database.pool, lanesOf(first));
    expect(await claimDue(workerA, 10)).toEqual([]);
  });

  test("many workers at once never get the same delivery", async () => {
    const sessions = Array.from({ length: 120 }, (_, index) => `many-${index}`);
    await Promise.all(sessions.map((sessionId) => intake.apply(projectId, sessionId, conversation)));
    const claims = await Promise.all(Array.from({ length: 8 }, () => claimDue(randomUUID(), 40)));
    const ids = claims.flat().map((claim) => claim.deliveryId);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBe(120);
  });

  test("the limit holds and the oldest come first", async () => {
    for (const sessionId of ["old-1", "old-2", "old-3"]) await reportAll(sessionId, conversation);
    const claims = await claimDue(workerA, 2);
    expect(claims.map((claim) => claim.sessionId)).toEqual(["old-1", "old-2"]);
  });
});

describe("settling", () => {
  test("removes the delivery and writes its row in one statement, bytes of the answer as they came", async () => {
    await reportAll("settle", conversation);
    const claims = await claimDue(workerA, 10);
    expect((await settleAll(workerA, claims)).size).toBe(1);
    const { rows } = await database.pool.query(
      "SELECT response_body, response_status, url FROM webhook_logs WHERE project_id = $1",
      [projectId],
    );
    expect(rows).toEqual([
      { response_body: Buffer.from([0x00, 0xff, 0xfe]), response_status: 204, url: claims[0]?.url },
    ]);
    expect((await database.pool.query("SELECT FROM deliveries")).rowCount).toBe(0);
  });

  test("by another worker, for another attempt, or a second time changes nothing", async () => {
    await reportAll("guard", conversation);
    const claims = await claimDue(workerA, 10);
    expect((await settleAll(workerB, claims)).size).toBe(0);
    const otherAttempt = claims.map((claim) => ({ ...claim, attempt: claim.attempt + 1 }));
    expect((await settleAll(workerA, otherAttempt)).size).toBe(0);
    expect((await settleAll(workerA, claims)).size).toBe(1);
    expect((await settleAll(workerA, claims)).size).toBe(0);
    expect((await logs()).length).toBe(1);
  });
});

describe("settling with a place for the next one of the lane", () => {
  test("claims it in the same commit, with all that an attempt needs, one after the other to the end", async () => {
    await reportAll("on", conversation, callEnded);
    const first = await claimDue(workerA, 10);
    expect(events(first)).toEqual(["session.ended"]);
    const second = await settleOn(workerA, first);
    expect([...second.stored]).toEqual(first.map(({ deliveryId }) => deliveryId));
    expect(second.freed).toEqual([]);
    expect(events([...second.claims])).toEqual(["call.ended"]);
    // Nothing is left for another, and it is the claim that another statement would have made.
    expect(await claimDue(workerB, 10)).toEqual([]);
    const { rows } = await database.pool.query("SELECT * FROM deliveries WHERE state = 'in_flight'");
    expect(rows).toMatchObject([{ worker_id: workerA, attempts: 1 }]);
    expect(rows[0].lease_until - rows[0].claimed_at).toBeGreaterThan(14_000);
    expect(second.claims[0]).toMatchObject({
      attempt: 1,
      trigger: "live",
      sessionId: "on",
      url: first[0]?.url,
      timeoutMs: 10_000,
      endpointRemoved: false,
    });
    expect(Object.keys(second.claims[0] as Claim).sort()).toEqual(Object.keys(first[0] as Claim).sort());
    const third = await settleOn(workerA, [...second.claims]);
    expect(events([...third.claims])).toEqual(["session.finalized"]);
    const last = await settleOn(workerA, [...third.claims]);
    expect(last).toMatchObject({ freed: [], claims: [] });
    expect((await logs()).map(({ event }) => event)).toEqual([
      "session.ended",
      "call.ended",
      "session.finalized",
    ]);
    expect((await database.pool.query("SELECT FROM deliveries")).rowCount).toBe(0);
  });

  test("a lane of another endpoint, what is outside the lane and what is tried again are left alone", async () => {
    const other = await addEndpoint(["session.ended", "call.ended"], "project");
    await reportAll("alone", conversation, recordingFailed, callEnded);
    const claims = await claimDue(workerA, 10);
    const own = claims.filter(({ event, endpointId }) => event === "session.ended" && endpointId !== other);
    const { claims: next } = await settleOn(workerA, own);
    expect(next.map(({ event, endpointId }) => [event, endpointId])).toEqual([
      ["call.ended", own[0]?.endpointId],
    ]);
    const again = await settle(
      database.pool,
      workerA,
      next.map((claim) => ({
        ...settled(claim, true, { ...delivered, outcome: "rejected", responseStatus: 500 }),
        next: { kind: "again" as const, afterMs: 60_000 },
      })),
    );
    expect(again).toMatchObject({ freed: [], claims: [] });
  });

  test("what was taken over meanwhile claims nothing", async () => {
    await reportAll("late", conversation, callEnded);
    const claims = await claimDue(workerA, 10);
    expect(await settleOn(workerB, claims)).toMatchObject({ freed: [], claims: [] });
    expect(await claimDue(workerB, 10)).toEqual([]);
  });

  test("of an endpoint that was removed the next one is claimed to be cancelled", async () => {
    await reportAll("removed", conversation, callEnded);
    const claims = await claimDue(workerA, 10);
    await database.pool.query("UPDATE endpoints SET removed_at = now() WHERE project_id = $1", [projectId]);
    const { claims: next } = await settleOn(workerA, claims);
    expect(next).toMatchObject([{ event: "call.ended", endpointRemoved: true }]);
  });
});

describe("taking over from a worker that died", () => {
  test("a lease that lasts is left alone", async () => {
    await reportAll("alive", conversation);
    await claimDue(workerA, 10);
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 0, again: 0 });
    const { rows } = await database.pool.query(
      "SELECT extract(epoch FROM lease_until - clock_timestamp()) AS left FROM deliveries",
    );
    expect(Number(rows[0].left)).toBeGreaterThan(13.5);
    expect(Number(rows[0].left)).toBeLessThanOrEqual(14.5);
  });

  test("a look may be for the leases alone that ended a moment ago", async () => {
    await reportAll("found", conversation);
    await claimDue(workerA, 10);
    const endedSince = (seconds: number): Promise<unknown> =>
      database.pool.query("UPDATE deliveries SET lease_until = now() - $1 * interval '1 second'", [seconds]);
    await endedSince(6);
    expect(await takeOver(database.pool, 5_000)).toMatchObject({ unknown: 0, again: 0 });
    await endedSince(4);
    expect(await takeOver(database.pool, 5_000)).toMatchObject({ unknown: 0, again: 1 });
    await claimAgain(workerA, 10);
    await endedSince(600);
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 1, again: 0 });
  });

  test("session.ended is due again with the same webhook-id, once; the lane waits for it", async () => {
    await reportAll("again", conversation, callEnded);
    const [lost] = await claimDue(workerA, 10);
    await endLeases();
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 0, again: 1 });
    expect(await claimDue(workerB, 10)).toEqual([]);
    const [again] = await claimAgain(workerB, 10);
    expect(again).toMatchObject({
      event: "session.ended",
      attempt: 2,
      trigger: "retry",
      webhookId: lost?.webhookId,
    });
    expect(again?.payload).toBe(lost?.payload);
    await endLeases();
    // A third POST is never made: what is lost twice is unknown.
    const taken = await takeOver(database.pool);
    await bringUp(database.pool, lanesOfHints(taken.hints));
    expect(taken).toMatchObject({ unknown: 1, again: 0 });
    expect(await logs()).toEqual([
      { event: "session.ended", attempt: 1, trigger: "live", outcome: "unknown", settled_as: null },
      { event: "session.ended", attempt: 2, trigger: "retry", outcome: "unknown", settled_as: "unknown" },
    ]);
    expect(events(await claimDue(workerB, 10))).toEqual(["call.ended"]);
  });

  test("session.finalized settles as unknown and is not sent again", async () => {
    await reportAll("final", conversation, callEnded);
    for (const _event of ["session.ended", "call.ended"]) {
      await settleAll(workerA, await claimDue(workerA, 10));
    }
    expect(events(await claimDue(workerA, 10))).toEqual(["session.finalized"]);
    await endLeases();
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 1, again: 0 });
    expect(await claimDue(workerB, 10)).toEqual([]);
    expect((await logs()).at(-1)).toEqual({
      event: "session.finalized",
      attempt: 1,
      trigger: "live",
      outcome: "unknown",
      settled_as: "unknown",
    });
  });

  test("the dead worker's own outcome comes too late to count", async () => {
    await reportAll("late", conversation);
    const claims = await claimDue(workerA, 10);
    await endLeases();
    await takeOver(database.pool);
    expect((await settleAll(workerA, claims)).size).toBe(0);
    expect((await logs()).map((row) => row.outcome)).toEqual(["unknown"]);
  });

  test("two that take over at once share the work and do none of it twice", async () => {
    const sessions = Array.from({ length: 50 }, (_, index) => `dead-${index}`);
    await Promise.all(sessions.map((sessionId) => intake.apply(projectId, sessionId, conversation)));
    await claimDue(workerA, 100);
    await endLeases();
    const taken = await Promise.all([takeOver(database.pool), takeOver(database.pool)]);
    expect(taken.reduce((sum, { again }) => sum + again, 0)).toBe(50);
    expect((await logs()).length).toBe(50);
  });
});
