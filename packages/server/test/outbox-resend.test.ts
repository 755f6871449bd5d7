// The rows of resends and tests without any dispatcher: who may claim them when, and what a dead worker leaves.
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestDatabase, emptyTables, type TestDatabase } from "../../../test/database.ts";
import { until } from "../../../test/until.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import { cancelWaiting } from "../src/outbox/cancel.ts";
import { type Claim, claimDue as claimKind } from "../src/outbox/claim.ts";
import { oweAgain } from "../src/outbox/resend.ts";
import { settle } from "../src/outbox/settle.ts";
import { takeOver } from "../src/outbox/takeover.ts";
import { sendTest } from "../src/outbox/test-event.ts";
import type { Refusal } from "../src/refusal.ts";
import {
  callEnded,
  conversationEnded,
  createTestIntake,
  deliveredResult,
  recordingFailed,
} from "./intake.ts";

const worker = randomUUID();

const conversation = conversationEnded("call");

let database: TestDatabase;
let intake: ReportIntake;
let projectId: string;
let endpointId: string;

beforeAll(async () => {
  database = await createTestDatabase();
  intake = createTestIntake(database.pool);
});
afterAll(() => database.drop());

beforeEach(async () => {
  await emptyTables(database.pool, "deliveries");
  projectId = randomUUID();
  endpointId = randomUUID();
  await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [projectId]);
  await database.pool.query(
    `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, events, timeout_ms)
     VALUES ($1, $2, 'agent', 'https://example.com/', 'sealed',
       '{session.ended,call.ended,session.finalized,recording.ready}', 100)`,
    [endpointId, projectId],
  );
});

async function claimDue(kind: "first" | "again" = "first"): Promise<Claim[]> {
  const room = { limit: 100, perEndpoint: 1_000, endpoints: [endpointId] };
  return (await claimKind(database.pool, worker, kind, room)).claims;
}

const settleAll = (claims: Claim[]): Promise<ReadonlySet<number>> =>
  settle(
    database.pool,
    worker,
    claims.map((claim) => ({
      claim,
      result: deliveredResult,
      recordingUrl: null,
      next: { kind: "settled" as const, as: "delivered" as const },
      claimsNext: false,
    })),
  ).then(({ stored }) => stored);

/** A call whose four events have been delivered; answers their ids in the order of emission. */
async function deliveredCall(sessionId: string): Promise<number[]> {
  for (const report of [conversation, recordingFailed, callEnded]) {
    await intake.apply(projectId, sessionId, report);
  }
  for (let claims = await claimDue(); claims.length > 0; claims = await claimDue()) await settleAll(claims);
  const { rows } = await database.pool.query<{ id: number }>(
    "SELECT event_id AS id FROM events WHERE project_id = $1 ORDER BY event_id",
    [projectId],
  );
  expect(rows.length).toBe(4);
  return rows.map(({ id }) => id);
}

const names = (claims: Claim[]): string[] => claims.map(({ event }) => event);

const endLeases = (): Promise<unknown> =>
  database.pool.query(
    "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE state = 'in_flight'",
  );

const latestLogs = async (count: number): Promise<unknown[]> => {
  const { rows } = await database.pool.query(
    `SELECT event, attempt, trigger, outcome, settled_as FROM webhook_logs WHERE project_id = $1
     ORDER BY log_id DESC LIMIT $2`,
    [projectId, count],
  );
  return rows.map((row) => Object.values(row)).reverse();
};

describe("resends", () => {
  test("in the lane keep the order of emission of their session, and recording.ready goes beside them", async () => {
    const ids = await deliveredCall("order");
    // Whatever the order in which they are asked for.
    const owed = await oweAgain(database.pool, endpointId, ids.toReversed(), true);
    expect(owed.map(({ eventId }) => eventId)).toEqual(ids);
    const first = await claimDue();
    expect(names(first).sort()).toEqual(["recording.ready", "session.ended"]);
    await settleAll(first);
    const second = await claimDue();
    expect(names(second)).toEqual(["call.ended"]);
    expect(await claimDue()).toEqual([]);
    await settleAll(second);
    expect(names(await claimDue())).toEqual(["session.finalized"]);
  });

  test("in the lane come before what is emitted later: session.finalized waits for them", async () => {
    await intake.apply(projectId, "live", conversation);
    const [ended] = await claimDue();
    await settleAll([ended as Claim]);
    const { rows } = await database.pool.query<{ id: number }>(
      "SELECT event_id AS id FROM events WHERE project_id = $1",
      [projectId],
    );
    await oweAgain(database.pool, endpointId, [rows[0]?.id ?? 0], true);
    await intake.apply(projectId, "live", callEnded);
    await database.pool.query("UPDATE deliveries SET due_at = now()");
    const again = await claimDue();
    expect(again.map(({ event, trigger }) => `${event} ${trigger}`)).toEqual(["session.ended resend"]);
    await settleAll(again);
    const next = await claimDue();
    expect(names(next)).toEqual(["call.ended"]);
    await settleAll(next);
    expect(names(await claimDue())).toEqual(["session.finalized"]);
  });

  test("outside the lane wait for nothing", async () => {
    const ids = await deliveredCall("beside");
    await oweAgain(database.pool, endpointId, ids, false);
    expect(await claimDue()).toHaveLength(4);
  });

  test("of what has not settled are not made, and asking twice makes one", async () => {
    await intake.apply(projectId, "open", conversation);
    const { rows } = await database.pool.query<{ id: number }>(
      "SELECT event_id AS id FROM events WHERE project_id = $1",
      [projectId],
    );
    expect(await oweAgain(database.pool, endpointId, [rows[0]?.id ?? 0], true)).toEqual([]);
    await settleAll(await claimDue());
    const twice = await Promise.all(
      [1, 2, 3].map(() => oweAgain(database.pool, endpointId, [rows[0]?.id ?? 0], true)),
    );
    expect(twice.flat()).toEqual([{ eventId: rows[0]?.id, attempt: 2 }]);
  });

  test("of an event that is erased at that very moment are not made", async () => {
    const ids = await deliveredCall("erased");
    const client = await database.pool.connect();
    try {
      await client.query("BEGIN");
      await client.query("UPDATE events SET payload = '' WHERE event_id = $1", [ids[0]]);
      const owed = oweAgain(database.pool, endpointId, ids.slice(0, 2), true);
      await until("the resend waits for the erasure", async () => {
        const { rowCount } = await database.pool.query(
          "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%attempts_before%'",
        );
        return rowCount === 1;
      });
      await client.query("COMMIT");
      expect(await owed).toEqual([{ eventId: ids[1], attempt: 2 }]);
    } finally {
      client.release();
    }
  });

  test("and tests of an endpoint that was removed are cancelled with a row each", async () => {
    const ids = await deliveredCall("cancelled");
    await oweAgain(database.pool, endpointId, ids.slice(0, 1), false);
    const answered = sendTest(database.pool, {
      projectId,
      endpointId,
      event: "call.ended",
      channel: "call",
      recordingObjectKey: "x",
    });
    await until("both are owed", async () => {
      return (await database.pool.query("SELECT FROM deliveries")).rowCount === 2;
    });
    expect(await cancelWaiting(database.pool, endpointId)).toBe(2);
    expect(await latestLogs(2)).toEqual(
      expect.arrayContaining([
        ["session.ended", 2, "resend", "cancelled", "cancelled"],
        ["call.ended", 1, "test", "cancelled", "cancelled"],
      ]),
    );
    expect(await answered).toMatch(/^\d+$/);
  });

  test("without retries are sent once, whatever the event, when their worker dies", async () => {
    const ids = await deliveredCall("dead");
    await oweAgain(database.pool, endpointId, ids, false);
    expect(await claimDue()).toHaveLength(4);
    await endLeases();
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 4, again: 0 });
    expect(await latestLogs(4)).toEqual(
      expect.arrayContaining([
        ["session.ended", 2, "resend", "unknown", "unknown"],
        ["session.finalized", 2, "resend", "unknown", "unknown"],
      ]),
    );
    expect([...(await claimDue()), ...(await claimDue("again"))]).toEqual([]);
  });

  test("with retries are sent again when their worker dies, up to the endpoint's number", async () => {
    const ids = await deliveredCall("stubborn");
    await database.pool.query(
      `UPDATE endpoints SET retry_attempts = 2, retry_window_ms = 60000, retry_window_text = '1m'
       WHERE endpoint_id = $1`,
      [endpointId],
    );
    await oweAgain(database.pool, endpointId, ids.slice(-1), false);
    await claimDue();
    await endLeases();
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 0, again: 1 });
    const [again] = await claimDue("again");
    expect([again?.attempt, again?.attemptsBefore]).toEqual([2, 1]);
    await endLeases();
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 1, again: 0 });
    expect(await latestLogs(2)).toEqual([
      ["session.finalized", 2, "resend", "unknown", null],
      ["session.finalized", 3, "resend", "unknown", "unknown"],
    ]);
  });
});

describe("tests", () => {
  const request = () => ({
    projectId,
    endpointId,
    event: "call.ended" as const,
    channel: "call" as const,
    recordingObjectKey: "projects/x/a",
  });

  test("are claimed before what waits at their endpoint, and are never sent a second time", async () => {
    await database.pool.query(
      `UPDATE endpoints SET retry_attempts = 5, retry_window_ms = 60000, retry_window_text = '1m'`,
    );
    await intake.apply(projectId, "waits", conversation);
    await intake.apply(projectId, "waits-too", conversation);
    const answered = sendTest(database.pool, request());
    let claims: Claim[] = [];
    while (claims.length === 0) {
      const room = { limit: 1, perEndpoint: 1_000, endpoints: [endpointId] };
      const { rows } = await database.pool.query("SELECT FROM deliveries WHERE trigger = 'test'");
      if (rows.length > 0) claims = (await claimKind(database.pool, worker, "first", room)).claims;
    }
    expect(claims[0]).toMatchObject({ trigger: "test", event: "call.ended", retries: null, projectId });
    await endLeases();
    expect(await takeOver(database.pool)).toMatchObject({ unknown: 1, again: 0 });
    const { rows } = await database.pool.query(
      "SELECT trigger, settled_as FROM webhook_logs WHERE log_id = $1",
      [await answered],
    );
    expect(rows).toEqual([{ trigger: "test", settled_as: "unknown" }]);
    await database.pool.query(
      "UPDATE endpoints SET retry_attempts = NULL, retry_window_ms = NULL, retry_window_text = NULL",
    );
  });

  test("that no worker takes are refused in time, and are not sent later", async () => {
    const refusal = await sendTest(database.pool, request()).catch((error: Refusal) => error);
    expect(refusal).toMatchObject({ code: "test_not_attempted", status: 503 });
    expect(await claimDue()).toEqual([]);
  });
});
