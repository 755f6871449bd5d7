import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { dirname, join } from "node:path";
import type pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { eraseSession } from "../src/lifecycle/erase.ts";
import { createLog } from "../src/log.ts";
import { eraseResponses } from "../src/logbook/erase.ts";
import { eraseOutbox } from "../src/outbox/erase.ts";
import { settle } from "../src/outbox/settle.ts";
import { takeOver } from "../src/outbox/takeover.ts";
import { erase } from "../src/retention/erase.ts";
import { removeRecordings } from "../src/retention/recordings.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer;
let canary: string;
const sinks: Sink[] = [];

beforeAll(async () => {
  server = await startTestServer({ SENDOFF_CONVERSATION_GRACE: "300ms" });
});
afterAll(() => server.stop());
beforeEach(() => {
  canary = `canary${randomUUID().replaceAll("-", "")}`;
});
afterEach(async () => {
  for (const sink of sinks.splice(0)) await sink.close();
});

const project = (): string => `/v1/projects/${server.projectId}`;
const session = (sessionId: string): string => `${project()}/sessions/${sessionId}`;
const all = ["session.ended", "call.ended", "session.finalized", "recording.ready"];

async function sinkOf(...options: Parameters<typeof startSink>): Promise<Sink> {
  const sink = await startSink(...options);
  sinks.push(sink);
  return sink;
}

const pointAt = (webhook: object): Promise<unknown> =>
  server.api("PATCH", `${project()}/agent`, { postSessionWebhook: { events: all, ...webhook } });

const conversation = (sessionId: string): Promise<unknown> =>
  server.api("POST", `${session(sessionId)}/conversation-ended`, {
    channel: "call",
    currentNodeId: `node-${canary}`,
    messagesCount: 7,
    extractedVariables: { name: canary },
  });
const call = (sessionId: string): Promise<unknown> =>
  server.api("POST", `${session(sessionId)}/call-ended`, { callStatus: "userHangup", callDuration: 61 });

interface LogRow {
  readonly event: string;
  readonly outcome: string;
  readonly errorCode: string | null;
  readonly settledAs: string | null;
}
const logsOf = async (sessionId: string): Promise<LogRow[]> =>
  (await server.api("GET", `${project()}/webhook-logs?sessionId=${sessionId}`)).body.data;

const settledOf = async (sessionId: string): Promise<LogRow[]> =>
  (await logsOf(sessionId)).filter((row) => row.settledAs !== null);

/** The tables in which a text stands somewhere, whatever the column: as text, or as bytes. */
async function tablesWith(text: string): Promise<string[]> {
  const { rows } = await server.pool.query<{ name: string }>(
    `SELECT oid::regclass::text AS name FROM pg_class
     WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1`,
  );
  expect(rows.length).toBeGreaterThan(15);
  const found: string[] = [];
  for (const { name } of rows) {
    const counted = await server.pool.query(
      `SELECT count(*) AS rows FROM ${name} AS whole WHERE position($1 in whole::text) > 0
         OR position($2 in whole::text) > 0`,
      [text, Buffer.from(text).toString("hex")],
    );
    if (counted.rows[0].rows > 0) found.push(name.replace(/_\d{8}$/, ""));
  }
  return found;
}

const recordingFile = (objectKey: string): string => join(server.dataFolder, "recordings", objectKey);

async function recordCall(sessionId: string): Promise<string> {
  const objectKey = `projects/${server.projectId}/sessions/${canary}/audio.ogg`;
  await mkdir(dirname(recordingFile(objectKey)), { recursive: true });
  await writeFile(recordingFile(objectKey), canary);
  await server.api("POST", `${session(sessionId)}/recording-processed`, { success: true, objectKey });
  return objectKey;
}

describe("erasing a session", () => {
  test("nothing of its data is left in any column of any table, nor its audio; outcomes, counts and hashes are", async () => {
    const id = "call-1";
    await pointAt({ url: server.inspectorUrl });
    await server.api("POST", `${project()}/sessions`, {
      sessionId: id,
      channel: "call",
      variables: { caller: canary },
      startNodeId: canary,
    });
    await server.api("PATCH", session(id), { extractedVariables: { early: canary } });
    const objectKey = await recordCall(id);
    await until("the inspector has it", async () => (await settledOf(id)).length === 1);
    const sink = await sinkOf((response) => response.end(`thanks, ${canary}`));
    await pointAt({ url: sink.url });
    await call(id);
    // The deadline says that the conversation is over; what is reported then is late.
    await until("all were delivered", async () => (await settledOf(id)).length === 4);
    await conversation(id);
    const { rows: payloads } = await server.pool.query<{ webhookId: string; payload: string }>(
      `SELECT webhook_id AS "webhookId", payload FROM events JOIN sessions USING (session_key) WHERE session_id = $1`,
      [id],
    );
    expect(payloads.length).toBe(4);
    expect(await tablesWith(canary)).toEqual(
      expect.arrayContaining(["sessions", "events", "webhook_logs", "inspector_requests"]),
    );

    const answer = await server.api("DELETE", session(id));
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body.data).toEqual({
      sessionId: id,
      erasedAt: expect.stringMatching(/Z$/),
      alreadyErased: false,
      erased: {
        variables: true,
        lateFacts: true,
        payloads: 4,
        responseBodies: 4,
        inspectorRequests: 1,
        recording: true,
      },
      deliveries: { cancelled: 0, inFlight: 0 },
    });
    expect(await tablesWith(canary)).toEqual([]);
    expect(existsSync(recordingFile(objectKey))).toBe(false);

    const shown = (await server.api("GET", session(id))).body.data;
    expect(shown).toMatchObject({
      erasedAt: answer.body.data.erasedAt,
      state: "finalized",
      callStatus: "userHangup",
      callDuration: 61,
      extractedVariables: {},
      variables: null,
      late: { conversation: null, call: null },
    });
    expect(shown.recording).toMatchObject({ success: true, objectKey: null });
    const hash = (text: string): string => createHash("sha256").update(text).digest("hex");
    expect(
      Object.fromEntries(
        shown.timeline.events.map((event: { webhookId: string; payloadSha256: string }) => [
          event.webhookId,
          event.payloadSha256,
        ]),
      ),
    ).toEqual(Object.fromEntries(payloads.map((row) => [row.webhookId, hash(row.payload)])));
    const logs = (await server.api("GET", `${project()}/webhook-logs?sessionId=${id}`)).body.data;
    expect(logs.map((row: LogRow) => row.outcome)).toEqual(Array(4).fill("delivered"));
    const detail = (await server.api("GET", `${project()}/webhook-logs/${logs[0].id}`)).body.data;
    expect(detail).toMatchObject({ requestBody: null, responseBody: null, responseStatus: 200 });
    await until("the feed shows its events without bodies", async () => {
      const feed = (await server.api("GET", `${project()}/events?sessionId=${id}`)).body.data;
      return feed.length === 4 && feed.every((item: { payload: unknown }) => item.payload === null);
    });
  });

  test("the same call again answers what is so and changes nothing", async () => {
    await conversation("twice");
    const first = await server.api("DELETE", session("twice"));
    const again = await server.api("DELETE", session("twice"));
    expect(again.status).toBe(200);
    expect(again.body.data).toEqual({
      sessionId: "twice",
      erasedAt: first.body.data.erasedAt,
      alreadyErased: true,
      erased: {
        variables: false,
        lateFacts: false,
        payloads: 0,
        responseBodies: 0,
        inspectorRequests: 0,
        recording: false,
      },
      deliveries: { cancelled: 0, inFlight: 0 },
    });
  });

  test("M2: an unknown session and one of another project are both not found, and nothing is erased", async () => {
    await conversation("mine");
    const made = await server.api("POST", "/v1/projects", { name: "other" }, server.developerKey);
    const { id, key } = made.body.data;
    const unknown = await server.api("DELETE", `/v1/projects/${id}/sessions/nobody`, undefined, key);
    const foreign = await server.api("DELETE", `/v1/projects/${id}/sessions/mine`, undefined, key);
    expectRefused(unknown, "session_not_found");
    expect(foreign.body.error.message).toBe(unknown.body.error.message.replace("nobody", "mine"));
    expectRefused(await server.api("DELETE", session("mine"), undefined, key), "project_not_found");
    expect((await server.api("GET", session("mine"))).body.data.erasedAt).toBeNull();
  });

  test("no report brings data back: each is refused with a sentence, and no deadline speaks for it", async () => {
    await server.api("PATCH", session("gone"), { extractedVariables: { name: canary } });
    await call("gone");
    await server.api("DELETE", session("gone"));
    const reports: Array<[string, string, object]> = [
      ["POST", `${project()}/sessions`, { sessionId: "gone", channel: "call", variables: { name: canary } }],
      ["PATCH", session("gone"), { extractedVariables: { name: canary } }],
      ["POST", `${session("gone")}/call-ended`, { callStatus: "userHangup", callDuration: 61 }],
      ["POST", `${session("gone")}/recording-processed`, { success: false, error: canary }],
      [
        "POST",
        `${session("gone")}/conversation-ended`,
        { channel: "call", currentNodeId: canary, messagesCount: 1, extractedVariables: { name: canary } },
      ],
    ];
    for (const [method, path, body] of reports) {
      expectRefused(await server.api(method, path, body), "session_erased", "Session gone was erased at 20");
    }
    const items = await server.api("POST", `${project()}/reports`, [
      { type: "recording-processed", sessionId: "gone", success: false, error: canary },
    ]);
    expect(items.body.data[0]).toMatchObject({ status: 409, error: { code: "session_erased" } });
    // The deadline of a session that was reported in the same way, and later, has passed.
    await call("other-one");
    await until("the other one is finalized", async () => {
      return (await server.api("GET", session("other-one"))).body.data.state === "finalized";
    });
    const shown = (await server.api("GET", session("gone"))).body.data;
    expect(shown.timeline.events.map((event: { event: string }) => event.event)).toEqual(["call.ended"]);
    expect(await tablesWith(canary)).toEqual([]);
  });

  test("what waits is cancelled with a row; the attempt under way ends, and its answer is not kept", async () => {
    let answer: () => void = () => {};
    const sink = await sinkOf((response) => {
      answer = () => response.end(canary);
    });
    await pointAt({ url: sink.url });
    await conversation("busy");
    await call("busy");
    await sink.arrived(1);
    const erased = await server.api("DELETE", session("busy"));
    expect(erased.body.data.deliveries).toEqual({ cancelled: 2, inFlight: 1 });
    const cancelled = { outcome: "cancelled", errorCode: "session_erased", settledAs: "cancelled" };
    const rows = await logsOf("busy");
    expect(rows).toMatchObject([cancelled, cancelled]);
    expect(rows.map(({ event }) => event).sort()).toEqual(["call.ended", "session.finalized"]);
    answer();
    await until("the attempt is logged", async () => (await logsOf("busy")).length === 3);
    expect((await logsOf("busy")).at(-1)).toMatchObject({ event: "session.ended", outcome: "delivered" });
    expect(await tablesWith(canary)).toEqual([]);
    expect(sink.received.length).toBe(1);
  });

  test("an attempt under way that fails is not tried again, whatever the endpoint asked for", async () => {
    let answer: () => void = () => {};
    const sink = await sinkOf((response) => {
      response.statusCode = 503;
      answer = () => response.end(canary);
    });
    await pointAt({ url: sink.url, delivery: { retries: { attempts: 5, window: "1h" } } });
    await conversation("failing");
    await sink.arrived(1);
    await server.api("DELETE", session("failing"));
    answer();
    await until("it has settled", async () => (await settledOf("failing")).length === 1);
    expect(await logsOf("failing")).toMatchObject([{ outcome: "rejected", settledAs: "cancelled" }]);
    const { rows } = await server.pool.query("SELECT count(*) AS left FROM deliveries");
    expect(rows[0].left).toBe(0);
    expect(await tablesWith(canary)).toEqual([]);
  });

  test("a request that reaches the inspector while its session is erased is not kept", async () => {
    await pointAt({ url: server.inspectorUrl });
    await conversation("slow");
    await until("it was delivered", async () => (await settledOf("slow")).length === 1);
    const { rows } = await server.pool.query(
      "SELECT webhook_id AS id FROM events JOIN sessions USING (session_key) WHERE session_id = 'slow'",
    );
    const finish = slowPost(server.inspectorUrl, rows[0].id, canary);
    await server.api("DELETE", session("slow"));
    expect(await finish()).toBe(200);
    expect(await tablesWith(canary)).toEqual([]);
  });

  test("audio that could not be removed is not forgotten: the next call, or the next round, removes it", async () => {
    const objectKey = await recordCall("stuck");
    let works = false;
    const removed: string[] = [];
    const recordings = {
      async remove(key: string) {
        if (!works) throw new Error("the store is away");
        removed.push(key);
        return true;
      },
    };
    const parts = { pool: server.pool, log: createLog("silent"), recordings };
    await expect(erase(parts, server.projectId, "stuck")).rejects.toThrow("the store is away");
    works = true;
    expect(await removeRecordings(parts, null)).toBe(1);
    expect(removed).toEqual([objectKey]);
    expect(await removeRecordings(parts, null)).toBe(0);
    expect((await erase(parts, server.projectId, "stuck"))?.alreadyErased).toBe(true);
    expect(await tablesWith(canary)).toEqual([]);
  });

  test("reports and attempts in full swing: whatever comes first, nothing is left", async () => {
    const sink = await sinkOf((response) => response.end(canary));
    await pointAt({ url: sink.url });
    await Promise.all(
      Array.from({ length: 30 }, async (_, n) => {
        const id = `swing-${n}`;
        await server.api("PATCH", session(id), { extractedVariables: { name: canary } });
        const erased = (async () => {
          if (n % 3 === 0)
            await until("an attempt began", () => sink.received.some(({ json }) => json.sessionId === id));
          return server.api("DELETE", session(id));
        })();
        await Promise.all([erased, call(id), conversation(id), recordCall(id)]);
        expect((await erased).status).toBe(200);
      }),
    );
    await until("nothing is owed", async () => {
      const { rows } = await server.pool.query("SELECT count(*) AS left FROM deliveries");
      return rows[0].left === 0;
    });
    expect(await tablesWith(canary)).toEqual([]);
  });
});

describe("an outcome that is stored at the very moment of an erasure", () => {
  const worker = randomUUID();
  let projectId: string;

  /** One delivery that this test has claimed. */
  async function claimOne(): Promise<{
    sessionKey: number;
    settleWith: (pool: pg.Pool) => Promise<ReadonlySet<number>>;
  }> {
    projectId = randomUUID();
    const endpointId = randomUUID();
    const { pool } = server;
    await pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [projectId]);
    await pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, events, timeout_ms)
       VALUES ($1, $2, 'agent', 'https://example.com/', 'sealed', NULL, 10000)`,
      [endpointId, projectId],
    );
    const { rows } = await pool.query(
      `WITH made AS (
         INSERT INTO sessions (project_id, session_id, version, created_at, current_node_id, messages_count,
           extracted_variables, deadline_at)
         VALUES ($1, 'raced', 1, now(), 'start', 0, '{}', now() + interval '1 hour') RETURNING session_key
       ), emitted AS (
         INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries)
         SELECT session_key, $1, 'session.ended', $2, $3, now(), 1 FROM made RETURNING event_id, session_key
       ), owed AS (
         INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, state, attempts, claimed_at,
           first_claimed_at, lease_until, worker_id)
         SELECT event_id, session_key, $4, true, 'live', 'in_flight', 1, now(), now(), now() + interval '1 minute', $5
         FROM emitted RETURNING delivery_id, session_key)
       SELECT delivery_id AS "deliveryId", session_key AS "sessionKey" FROM owed`,
      [projectId, `msg_${canary}`, canary, endpointId, worker],
    );
    const { deliveryId, sessionKey } = rows[0];
    const claim = {
      projectId,
      event: "session.ended",
      webhookId: `msg_${canary}`,
      deliveryId,
      attempt: 1,
      sessionId: "raced",
      url: "https://example.com/",
      trigger: "live",
    };
    const result = {
      outcome: "rejected",
      errorCode: "http_error",
      failedStep: "response",
      responseStatus: 500,
      responseBody: Buffer.from(canary),
      durationMs: 1,
      retryAfterMs: null,
    };
    const settlement = {
      claim,
      result,
      next: { kind: "again", afterMs: 1 },
      recordingUrl: null,
      claimsNext: false,
    };
    return {
      sessionKey,
      settleWith: async (onPool) => (await settle(onPool, worker, [settlement as never])).stored,
    };
  }

  const rowsOf = async (sessionKey: number): Promise<unknown[]> =>
    (
      await server.pool.query(
        "SELECT response_body AS body, settled_as AS as FROM webhook_logs WHERE session_key = $1",
        [sessionKey],
      )
    ).rows;

  async function waiting(): Promise<boolean> {
    const { rows } = await server.pool.query(
      "SELECT count(*) AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    return rows[0].waiting > 0;
  }

  test("the erasure is first: the outcome finds the mark, though it had begun before", async () => {
    const { sessionKey, settleWith } = await claimOne();
    const client = await server.pool.connect();
    await client.query("BEGIN");
    await eraseSession(client, projectId, "raced");
    await eraseOutbox(client, sessionKey);
    await eraseResponses(client, sessionKey);
    const settled = settleWith(server.pool);
    await until("the outcome waits", waiting);
    await client.query("COMMIT");
    client.release();
    expect((await settled).size).toBe(1);
    expect(await rowsOf(sessionKey)).toEqual([{ body: null, as: "cancelled" }]);
  });

  test("the outcome is first: the erasure waits for it and empties its row", async () => {
    const { sessionKey, settleWith } = await claimOne();
    const client = await server.pool.connect();
    await client.query("BEGIN");
    await settleWith(client as unknown as pg.Pool);
    const erased = server.api(
      "DELETE",
      `/v1/projects/${projectId}/sessions/raced`,
      undefined,
      server.developerKey,
    );
    await until("the erasure waits", waiting);
    await client.query("COMMIT");
    client.release();
    expect((await erased).body.data.erased.responseBodies).toBe(1);
    expect(await rowsOf(sessionKey)).toEqual([
      { body: null, as: null },
      { body: null, as: "cancelled" },
    ]);
    await until("nothing is owed", async () => {
      const { rows } = await server.pool.query("SELECT FROM deliveries WHERE session_key = $1", [sessionKey]);
      return rows.length === 0;
    });
  });

  test("its worker has died: the takeover settles it and sends nothing again", async () => {
    const { sessionKey } = await claimOne();
    await server.api("DELETE", `/v1/projects/${projectId}/sessions/raced`, undefined, server.developerKey);
    await server.pool.query(
      "UPDATE deliveries SET lease_until = now() - interval '1 second' WHERE session_key = $1",
      [sessionKey],
    );
    await takeOver(server.pool);
    await until("it has settled", async () => (await rowsOf(sessionKey)).length === 1);
    expect(await rowsOf(sessionKey)).toEqual([{ body: null, as: "unknown" }]);
    const { rows } = await server.pool.query("SELECT FROM deliveries WHERE session_key = $1", [sessionKey]);
    expect(rows).toEqual([]);
  });
});

/** Begins a POST with a webhook-id and sends its body when the answer is called. */
function slowPost(url: string, webhookId: string, body: string): () => Promise<number> {
  const sent = request(url, {
    method: "POST",
    headers: { "webhook-id": webhookId, "content-type": "application/json", "content-length": body.length },
  });
  sent.flushHeaders();
  const answered = new Promise<number>((resolve, reject) => {
    sent.on("response", (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on("error", reject);
  });
  return () => {
    sent.end(body);
    return answered;
  };
}
