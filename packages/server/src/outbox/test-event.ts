import { randomBytes, randomUUID } from "node:crypto";
import { type Channel, type EventName, examplePayload } from "@sendoff/contract";
import type pg from "pg";
import { dueChannel } from "../database/listen.ts";
import { logOfSession } from "../logbook/read.ts";
import { Refusal } from "../refusal.ts";

/** What the session id of every test event begins with, so that a receiver can tell it by the body alone. */
const sessionIdPrefix = "sendoff-test-";

/** An example of an event, to be sent to an endpoint now. */
export interface TestRequest {
  readonly projectId: string;
  readonly endpointId: string;
  readonly event: EventName;
  readonly channel: Channel;
  /** The audio that a recording.ready links to. */
  readonly recordingObjectKey: string;
}

/** For how long the content of a test can be read from its log row, as an interval of PostgreSQL. */
const keptFor = "interval '30 days'";
/** How long the wait goes on after the endpoint's timeout, in milliseconds: claim, lease (claim.ts) and storing. */
const waitMarginMs = 5_000;
const firstPauseMs = 20;
const pauseMaxMs = 200;
/**
 * Most tests that one process waits for at a time, of one project and of all: each asks the database several times a
 * second, and an endpoint that hangs makes it last for the endpoint's timeout.
 */
const waitingOfProjectMax = 5;
const waitingMax = 100;
/** How many there are, by project. */
const waiting = new Map<string, number>();

// It is due before whatever waits at this endpoint, for somebody waits for its answer.
const oweTestSql = `
  WITH forgotten AS (
    DELETE FROM test_events WHERE project_id = $1 AND emitted_at < now() - ${keptFor}
  ), born AS (
    INSERT INTO test_events (project_id, session_id, event, webhook_id, payload, recording_object_key)
    VALUES ($1, $2, $3, $4, $5, $6) RETURNING event_id
  ), owed AS (
    INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, due_at)
    SELECT born.event_id, born.event_id, endpoints.endpoint_id, false, 'test', least(clock_timestamp(), (
      SELECT min(due_at) - interval '1 microsecond' FROM deliveries AS others
      WHERE others.endpoint_id = $7 AND others.state = 'pending' AND others.attempts = 0))
    FROM born JOIN endpoints ON endpoints.endpoint_id = $7 AND endpoints.removed_at IS NULL
    RETURNING delivery_id, event_id, endpoint_id
  ), told AS (
    SELECT pg_notify('${dueChannel}', endpoint_id::text) FROM owed
  )
  SELECT owed.delivery_id AS "deliveryId", owed.event_id AS "eventId", endpoints.timeout_ms AS "timeoutMs",
    (SELECT count(*) FROM told) AS told
  FROM owed JOIN endpoints USING (endpoint_id)`;

interface OwedTest {
  readonly deliveryId: number;
  readonly eventId: number;
  readonly timeoutMs: number;
}

/**
 * Sends one realistic example to an endpoint, whether it subscribes to the event or not, by the path of live events, and
 * waits for its attempt. It makes no session and no event that any list shows; its log row has the trigger `test`.
 *
 * @returns the id of the attempt's row in webhook_logs.
 * @throws Refusal rate_limited or overloaded when too many are under way; no_webhook when the endpoint has been removed;
 * test_not_attempted when no worker had room for it in time, and then it is not sent later either.
 */
export async function sendTest(pool: pg.Pool, request: TestRequest): Promise<string> {
  const { projectId } = request;
  takePlace(projectId);
  try {
    return await waitForRow(pool, await oweTest(pool, request));
  } finally {
    const left = (waiting.get(projectId) ?? 1) - 1;
    if (left === 0) waiting.delete(projectId);
    else waiting.set(projectId, left);
  }
}

function takePlace(projectId: string): void {
  const ofProject = waiting.get(projectId) ?? 0;
  const headers = { "retry-after": "1" };
  if (ofProject >= waitingOfProjectMax) {
    throw new Refusal(
      "rate_limited",
      `${ofProject} test events of this project are under way; expected at most ${waitingOfProjectMax}. Wait until one of them is answered.`,
      { headers },
    );
  }
  const ofAll = [...waiting.values()].reduce((sum, count) => sum + count, 0);
  if (ofAll >= waitingMax) {
    throw new Refusal("overloaded", `${ofAll} test events are under way. Try again in a moment.`, {
      headers,
    });
  }
  waiting.set(projectId, ofProject + 1);
}

async function oweTest(pool: pg.Pool, request: TestRequest): Promise<OwedTest> {
  const { projectId, endpointId, event, channel } = request;
  const moment = await pool.query<{ now: Date }>("SELECT clock_timestamp() AS now");
  const emittedAt = moment.rows[0]?.now ?? new Date(0);
  const sessionId = sessionIdPrefix + randomBytes(6).toString("hex");
  const { rows } = await pool.query<OwedTest>(oweTestSql, [
    projectId,
    sessionId,
    event,
    `msg_${randomUUID().replaceAll("-", "")}`,
    examplePayload(event, channel, { projectId, sessionId }, emittedAt),
    event === "recording.ready" ? request.recordingObjectKey : null,
    endpointId,
  ]);
  const owed = rows[0];
  if (owed === undefined) throw new Refusal("no_webhook", "The webhook was removed at this very moment.");
  return owed;
}

/** Polls the log: it works for whichever process makes the attempt, and for one that dies in the midst of it. */
async function waitForRow(pool: pg.Pool, { deliveryId, eventId, timeoutMs }: OwedTest): Promise<string> {
  const patienceMs = timeoutMs + waitMarginMs;
  let row = await pollLog(pool, eventId, patienceMs);
  if (row === null && !(await withdraw(pool, deliveryId))) {
    // It has been claimed at last: it ends by its own deadline, or with its lease.
    row = await pollLog(pool, eventId, patienceMs + waitMarginMs);
  }
  if (row !== null) return row;
  throw new Refusal(
    "test_not_attempted",
    `No worker has made the attempt within ${patienceMs} ms, and it will not be made later. Is a worker running, and has it room for this endpoint?`,
  );
}

async function pollLog(pool: pg.Pool, eventId: number, patienceMs: number): Promise<string | null> {
  const end = performance.now() + patienceMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.5, pauseMaxMs)) {
    const found = await logOfSession(pool, eventId);
    if (found !== null || performance.now() > end) return found;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** Whether the test had not been claimed and never will be. */
async function withdraw(pool: pg.Pool, deliveryId: number): Promise<boolean> {
  const { rowCount } = await pool.query(
    "DELETE FROM deliveries WHERE delivery_id = $1 AND state = 'pending' AND attempts = 0",
    [deliveryId],
  );
  return rowCount === 1;
}
