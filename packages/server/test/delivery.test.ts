import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { placeAudio } from "../../../test/audio.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { loadSecretKey, openSealer } from "../src/installation.ts";
import { secretSeal } from "../src/tenancy/endpoints.ts";

const allEvents = ["session.ended", "call.ended", "session.finalized", "recording.ready"];

let server: TestServer;
let sink: Sink;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
afterEach(() => sink.close());

/** Points the agent at a new sink. */
async function pointAt(next: Sink, webhook: object = { events: allEvents }): Promise<void> {
  sink = next;
  const answer = await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
    postSessionWebhook: { url: sink.url, ...webhook },
  });
  expect(answer.status, answer.text).toBe(200);
}

const sessionPath = (sessionId: string): string => `/v1/projects/${server.projectId}/sessions/${sessionId}`;

const conversation = (channel: string): object => ({
  channel,
  currentNodeId: "ask_intention",
  messagesCount: 8,
  extractedVariables: { name: "Nancy", intention: "book a demo" },
});

async function report(sessionId: string, type: string, body: object): Promise<void> {
  const answer = await server.api("POST", `${sessionPath(sessionId)}/${type}`, body);
  expect(answer.status, answer.text).toBe(200);
}

async function logsOf(sessionId: string): Promise<Array<Record<string, unknown>>> {
  const { body } = await server.api(
    "GET",
    `/v1/projects/${server.projectId}/webhook-logs?sessionId=${sessionId}`,
  );
  return body.data;
}

describe("a session's webhooks", () => {
  test("a call gets session.ended, call.ended and session.finalized, in the seeds' fields and order", async () => {
    await pointAt(await startSink());
    await report("call-1", "conversation-ended", conversation("call"));
    await report("call-1", "call-ended", { callStatus: "userHangup", callDuration: 78 });
    await sink.arrived(3);
    expect(sink.received.map(({ json }) => json.event)).toEqual([
      "session.ended",
      "call.ended",
      "session.finalized",
    ]);
    const [ended, call, finalized] = sink.received.map(({ json }) => json);
    expect(Object.keys(ended)).toEqual([
      "event",
      "sessionId",
      "timestamp",
      "currentNodeId",
      "messagesCount",
      "extractedVariables",
      "reason",
    ]);
    expect(Object.keys(call)).toEqual([
      "event",
      "sessionId",
      "projectId",
      "timestamp",
      "callStatus",
      "callDuration",
    ]);
    expect(Object.keys(finalized)).toEqual([
      "event",
      "sessionId",
      "projectId",
      "timestamp",
      "currentNodeId",
      "messagesCount",
      "extractedVariables",
      "callStatus",
      "callDuration",
    ]);
    expect(ended.reason).toBe("session_ended");
    expect(finalized).toMatchObject({ callStatus: "userHangup", callDuration: 78, messagesCount: 8 });
    expect(ended.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test("a text session gets two, and its finalized has no call fields at all", async () => {
    await pointAt(await startSink());
    await report("text-1", "conversation-ended", conversation("text"));
    await sink.arrived(2);
    const [ended, finalized] = sink.received.map(({ json }) => json);
    expect([ended.event, finalized.event]).toEqual(["session.ended", "session.finalized"]);
    expect("callStatus" in finalized).toBe(false);
    expect("callDuration" in finalized).toBe(false);
  });

  test("an agent without events gets session.ended alone, with its legacy reason", async () => {
    await pointAt(await startSink(), {});
    await report("default-1", "conversation-ended", conversation("call"));
    await report("default-1", "call-ended", { callStatus: "userHangup", callDuration: 78 });
    await report("default-1", "recording-processed", { success: false });
    // The webhook of a later session shows that nothing of this one was still to come.
    await report("default-2", "conversation-ended", conversation("text"));
    await sink.arrived(2);
    expect(sink.received.map(({ json }) => [json.sessionId, json.event, json.reason])).toEqual([
      ["default-1", "session.ended", "session_ended"],
      ["default-2", "session.ended", "session_ended"],
    ]);
    const { body } = await server.api("GET", sessionPath("default-1"));
    expect(
      body.data.timeline.events.map((event: Record<string, unknown>) => [event.event, event.unsentReason]),
    ).toEqual([
      ["session.ended", null],
      ["call.ended", "not_subscribed"],
      ["session.finalized", "not_subscribed"],
      ["recording.ready", "not_subscribed"],
    ]);
  });

  test("recording.ready carries a fresh link on success, and no recordingUrl on failure", async () => {
    await pointAt(await startSink());
    const objectKey = `projects/${server.projectId}/sessions/rec-1/audio.ogg`;
    await placeAudio(server.dataFolder, objectKey);
    await report("rec-1", "recording-processed", { success: true, objectKey });
    await report("rec-2", "recording-processed", { success: false, error: "the mixer failed" });
    await sink.arrived(2);
    const [ready, failed] = sink.received
      .map(({ json }) => json)
      .sort((left, right) => left.sessionId.localeCompare(right.sessionId));
    expect(Object.keys(ready)).toEqual([
      "event",
      "sessionId",
      "projectId",
      "timestamp",
      "success",
      "recordingUrl",
    ]);
    const link = new URL(ready.recordingUrl);
    const livesMs = Number(link.searchParams.get("expires")) * 1_000 - Date.now();
    expect(livesMs).toBeGreaterThan(14 * 60_000);
    expect(livesMs).toBeLessThanOrEqual(15 * 60_000);
    expect(failed.success).toBe(false);
    expect("recordingUrl" in failed).toBe(false);
    // The log must not hold what makes the link work.
    await until("the attempt is logged", async () => (await logsOf("rec-1")).length > 0);
    const [log] = await logsOf("rec-1");
    const detail = await server.api("GET", `/v1/projects/${server.projectId}/webhook-logs/${log?.id}`);
    expect(JSON.parse(detail.body.data.requestBody).recordingUrl).toBe(link.origin + link.pathname);
  });

  test("every POST verifies with the Standard Webhooks library and carries its headers", async () => {
    await pointAt(await startSink(), { events: allEvents, headers: [{ key: "X-Route", value: "blue-7" }] });
    await report("signed-1", "conversation-ended", conversation("text"));
    await sink.arrived(2);
    const { rows } = await server.pool.query(
      "SELECT endpoint_id, secret_sealed, url FROM endpoints WHERE removed_at IS NULL AND kind = 'agent'",
    );
    const key = await loadSecretKey({ secretKey: null, dataFolder: server.dataFolder } as never);
    const sealer = await openSealer(server.pool, key);
    const secret = await sealer.open(secretSeal(rows[0].endpoint_id), rows[0].secret_sealed);
    for (const { headers, body } of sink.received) {
      expect(new Webhook(secret).verify(body, headers as Record<string, string>)).toEqual(JSON.parse(body));
      expect(() => new Webhook(secret).verify(`${body} `, headers as Record<string, string>)).toThrow();
      expect(headers).toMatchObject({
        "content-type": "application/json",
        "x-route": "blue-7",
        "sendoff-attempt": "1",
        "sendoff-trigger": "live",
      });
      expect(headers["user-agent"]).toMatch(/^Sendoff\/\d/);
    }
    expect(new Set(sink.received.map(({ headers }) => headers["webhook-id"])).size).toBe(2);
  });
});

describe("order on the wire", () => {
  test("session.finalized begins only when the earlier ones of its lane have been answered", async () => {
    const order: string[] = [];
    await pointAt(
      await startSink((response, { json }) => {
        order.push(`begin ${json.event}`);
        setTimeout(() => {
          order.push(`end ${json.event}`);
          response.end();
        }, 40);
      }),
    );
    await report("lane-1", "call-ended", { callStatus: "userHangup", callDuration: 3 });
    await report("lane-1", "conversation-ended", conversation("call"));
    await until("all three are answered", () => order.length === 6);
    expect(order).toEqual([
      "begin call.ended",
      "end call.ended",
      "begin session.ended",
      "end session.ended",
      "begin session.finalized",
      "end session.finalized",
    ]);
  });

  test("recording.ready waits for nothing and delays nothing", async () => {
    const held: Array<() => void> = [];
    let cut = false;
    await pointAt(
      await startSink((response, { json }) => {
        if (json.event === "recording.ready") {
          response.end();
          return;
        }
        held.push(() => response.end());
        response.on("close", () => {
          cut = true;
        });
      }),
    );
    await report("beside-1", "conversation-ended", conversation("call"));
    await sink.arrived(1);
    await report("beside-1", "recording-processed", { success: false });
    await sink.arrived(2);
    // The one before it is under way still.
    expect(cut).toBe(false);
    expect(sink.received.map(({ json }) => json.event)).toEqual(["session.ended", "recording.ready"]);
    for (const release of held) release();
  });

  test("a lane that waits does not hold up another session's", async () => {
    await pointAt(
      await startSink((response, { json }) => {
        if (json.sessionId !== "stuck-1") response.end();
        else setTimeout(() => response.end(), 300);
      }),
    );
    await report("stuck-1", "conversation-ended", conversation("text"));
    await report("free-1", "conversation-ended", conversation("text"));
    await sink.arrived(3);
    expect(sink.received.map(({ json }) => `${json.sessionId} ${json.event}`)).toContain(
      "free-1 session.finalized",
    );
    await sink.arrived(4);
  });
});

describe("what the receiver answers", () => {
  const outcomeOf = async (sessionId: string): Promise<Record<string, unknown>> => {
    await until("the attempt is logged", async () => (await logsOf(sessionId)).length > 0);
    return (await logsOf(sessionId)).at(-1) ?? {};
  };
  const onlyEnded = { events: ["session.ended"], delivery: { timeout: "300ms" } };

  test("an answer other than 2xx settles the delivery as rejected, and it is not sent again", async () => {
    await pointAt(
      await startSink((response) => {
        response.statusCode = 500;
        response.end("out of order");
      }),
      onlyEnded,
    );
    await report("rejected-1", "conversation-ended", conversation("text"));
    const log = await outcomeOf("rejected-1");
    expect(log).toMatchObject({
      outcome: "rejected",
      errorCode: "http_error",
      responseStatus: 500,
      settledAs: "rejected",
      attempt: 1,
    });
    const detail = await server.api("GET", `/v1/projects/${server.projectId}/webhook-logs/${log.id}`);
    expect(detail.body.data.responseBody).toBe("out of order");
    expect(detail.body.data.requestBody).toBe(sink.received[0]?.body);
    const owed = await server.pool.query("SELECT FROM deliveries");
    expect(owed.rowCount).toBe(0);
    expect(sink.received.length).toBe(1);
  });

  test("a redirect is a rejection and is not followed", async () => {
    await pointAt(
      await startSink((response) => {
        response.writeHead(307, { location: sink.url });
        response.end();
      }),
      onlyEnded,
    );
    await report("redirect-1", "conversation-ended", conversation("text"));
    expect(await outcomeOf("redirect-1")).toMatchObject({
      outcome: "rejected",
      errorCode: "redirect_not_followed",
      responseStatus: 307,
    });
    expect(sink.received.length).toBe(1);
  });

  test("a server that drips its headers is cut at the deadline", async () => {
    await pointAt(
      await startSink((response) => {
        const drip = setInterval(() => response.writeProcessing(), 50);
        response.on("close", () => clearInterval(drip));
      }),
      { ...onlyEnded, delivery: { timeout: "200ms" } },
    );
    await report("drip-1", "conversation-ended", conversation("text"));
    const log = await outcomeOf("drip-1");
    expect(log).toMatchObject({ outcome: "timed_out", settledAs: "failed", failedStep: "response" });
    expect(log.durationMs).toBeGreaterThanOrEqual(199);
    expect(log.durationMs).toBeLessThan(5_000);
  });

  test("a status that came whole counts, also when the body never ends", async () => {
    await pointAt(
      await startSink((response) => {
        response.write("first part");
      }),
      { events: ["session.ended"], delivery: { timeout: "5s" } },
    );
    await report("endless-1", "conversation-ended", conversation("text"));
    const log = await outcomeOf("endless-1");
    expect(log).toMatchObject({ outcome: "delivered", responseStatus: 200 });
    // It was not waited for until the deadline: the place is needed.
    expect(log.durationMs).toBeLessThan(4_000);
  });

  test("of a long answer 4 KiB are kept", async () => {
    await pointAt(await startSink((response) => response.end("x".repeat(300_000))), onlyEnded);
    await report("long-1", "conversation-ended", conversation("text"));
    const log = await outcomeOf("long-1");
    expect(log.outcome).toBe("delivered");
    const detail = await server.api("GET", `/v1/projects/${server.projectId}/webhook-logs/${log.id}`);
    expect(detail.body.data.responseBody).toBe("x".repeat(4_096));
  });

  test("a closed port is unreachable, an endpoint removed meanwhile is cancelled", async () => {
    await pointAt(await startSink(), onlyEnded);
    await sink.close();
    await report("closed-1", "conversation-ended", conversation("text"));
    expect(await outcomeOf("closed-1")).toMatchObject({
      outcome: "unreachable",
      errorCode: "connect_error",
      failedStep: "connect",
      settledAs: "failed",
    });
    const held: Array<() => void> = [];
    await pointAt(await startSink((response) => held.push(() => response.end())), {
      events: allEvents,
      delivery: { timeout: "10s" },
    });
    await report("removed-1", "conversation-ended", conversation("text"));
    await sink.arrived(1);
    await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, { postSessionWebhook: null });
    for (const release of held) release();
    await until("both deliveries have settled", async () => (await logsOf("removed-1")).length === 2);
    expect(
      (await logsOf("removed-1")).map(({ event, outcome, attempt }) => [event, outcome, attempt]),
    ).toEqual([
      ["session.finalized", "cancelled", 1],
      ["session.ended", "delivered", 1],
    ]);
    expect(sink.received.length).toBe(1);
    await report("nowhere-1", "conversation-ended", conversation("text"));
    const { body } = await server.api("GET", sessionPath("nowhere-1"));
    expect(body.data.timeline.events[0].unsentReason).toBe("no_endpoint");
  });
});
