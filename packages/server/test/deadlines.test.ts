import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

// Graces that are short enough to wait for: 300 ms for a conversation, 600 ms for a call, 1.2 s for a session.

let server: TestServer;
let sink: Sink;

beforeAll(async () => {
  server = await startTestServer({
    SENDOFF_CONVERSATION_GRACE: "300ms",
    SENDOFF_CALL_GRACE: "600ms",
    SENDOFF_SESSION_TIMEOUT: "1200ms",
  });
  sink = await startSink();
  const events = ["session.ended", "call.ended", "session.finalized", "recording.ready"];
  await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, {
    postSessionWebhook: { url: sink.url, events },
  });
});
afterAll(async () => {
  await server.stop();
  await sink.close();
});

const path = (sessionId: string): string => `/v1/projects/${server.projectId}/sessions/${sessionId}`;

const report = (sessionId: string, type: string, body: object) =>
  server.api("POST", `${path(sessionId)}/${type}`, body);

const arrivedOf = (sessionId: string) =>
  sink.received.map(({ json }) => json).filter((json) => json.sessionId === sessionId);

const finalized = (sessionId: string): Promise<void> =>
  until(`${sessionId} is finalized at the sink`, () =>
    arrivedOf(sessionId).some((json) => json.event === "session.finalized"),
  );

const call = { callStatus: "userHangup", callDuration: 12 };
const conversation = {
  channel: "call",
  currentNodeId: "closing",
  messagesCount: 5,
  extractedVariables: { a: 1 },
};

describe("a fact that does not come by its deadline", () => {
  test("a conversation's end: it is ended from the last progress, and then the call is finalized", async () => {
    await server.api("PATCH", path("quiet"), {
      currentNodeId: "ask",
      messagesCount: 3,
      extractedVariables: { a: 2 },
    });
    await report("quiet", "call-ended", call);
    await finalized("quiet");
    const [first, second, third] = arrivedOf("quiet");
    expect(first).toMatchObject({ event: "call.ended", callStatus: "userHangup" });
    expect(second).toMatchObject({
      event: "session.ended",
      currentNodeId: "ask",
      messagesCount: 3,
      extractedVariables: { a: 2 },
    });
    expect(third).toMatchObject({
      event: "session.finalized",
      callStatus: "userHangup",
      currentNodeId: "ask",
    });
    const waited = Date.parse(second.timestamp) - Date.parse(first.timestamp);
    expect(waited).toBeGreaterThanOrEqual(300);
    expect(waited).toBeLessThan(2_300);
  });

  test("a new session stands on node start with no messages", async () => {
    await report("silent", "call-ended", { callStatus: "userNoAnswer", callDuration: 0 });
    await finalized("silent");
    expect(arrivedOf("silent").at(-1)).toMatchObject({
      currentNodeId: "start",
      messagesCount: 0,
      extractedVariables: {},
      callStatus: "userNoAnswer",
    });
  });

  test("a call's end: call.ended with unknown, and the duration measured from the session's own times", async () => {
    await server.api("POST", `/v1/projects/${server.projectId}/sessions`, {
      sessionId: "hung",
      channel: "call",
    });
    await report("hung", "conversation-ended", {
      ...conversation,
      endedAt: new Date(Date.now() + 42_000).toISOString(),
    });
    await finalized("hung");
    expect(arrivedOf("hung").map((json) => [json.event, json.callStatus, json.callDuration])).toEqual([
      ["session.ended", undefined, undefined],
      ["call.ended", "unknown", 42],
      ["session.finalized", "unknown", 42],
    ]);
  });

  test("P28: no report at all: both are ended, for a text session without any call fields", async () => {
    for (const [sessionId, channel] of [
      ["gone-call", "call"],
      ["gone-text", "text"],
    ]) {
      await server.api("POST", `/v1/projects/${server.projectId}/sessions`, { sessionId, channel });
    }
    await finalized("gone-call");
    await finalized("gone-text");
    expect(arrivedOf("gone-call").map((json) => json.event)).toEqual([
      "session.ended",
      "call.ended",
      "session.finalized",
    ]);
    // From its creation to its last report, not to the moment at which nobody waited any more.
    expect(arrivedOf("gone-call")[1]).toMatchObject({ callStatus: "unknown", callDuration: 0 });
    expect(arrivedOf("gone-text").map((json) => json.event)).toEqual(["session.ended", "session.finalized"]);
    expect("callStatus" in arrivedOf("gone-text")[1]).toBe(false);
  });

  test("a channel that nobody states: after the call's grace the session is taken for text", async () => {
    const { channel: _channel, ...withoutChannel } = conversation;
    const answer = await report("unstated", "conversation-ended", withoutChannel);
    expect(answer.body.data).toMatchObject({ state: "ending", events: ["session.ended"] });
    await finalized("unstated");
    expect("callStatus" in arrivedOf("unstated")[1]).toBe(false);
    const late = await report("unstated", "call-ended", call);
    expect(late.body.data).toMatchObject({ late: true, events: [] });
    const recording = await report("unstated", "recording-processed", { success: false });
    expect(recording.body.data).toMatchObject({ late: false, events: ["recording.ready"] });
  });

  test("each report moves the session's time-out on", async () => {
    for (const messagesCount of [1, 2, 3, 4]) {
      await server.api("PATCH", path("alive"), { messagesCount });
      const { rows } = await server.pool.query(
        "SELECT extract(epoch FROM deadline_at - now()) AS seconds FROM sessions WHERE session_id = 'alive'",
      );
      expect(Number(rows[0].seconds)).toBeGreaterThan(0.9);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
});

describe("a fact that comes after its deadline", () => {
  test("is kept and shown, emits nothing, and its repeat is a duplicate", async () => {
    await report("late", "call-ended", call);
    await finalized("late");
    const before = arrivedOf("late").length;
    const answer = await report("late", "conversation-ended", conversation);
    expect(answer.status).toBe(200);
    expect(answer.body.data).toEqual({
      sessionId: "late",
      state: "finalized",
      duplicate: false,
      late: true,
      events: [],
    });
    const again = await report("late", "conversation-ended", conversation);
    expect(again.body.data).toMatchObject({ duplicate: true, late: true, events: [] });
    const other = await report("late", "conversation-ended", { ...conversation, messagesCount: 6 });
    expect(other.status).toBe(409);
    const { body } = await server.api("GET", path("late"));
    expect(body.data.late.conversation).toMatchObject({
      currentNodeId: "closing",
      messagesCount: 5,
      extractedVariables: { a: 1 },
    });
    expect(body.data.late.call).toBeNull();
    // What was emitted stands as it is.
    expect(body.data).toMatchObject({ currentNodeId: "start", messagesCount: 0 });
    await report("late-2", "conversation-ended", { ...conversation, channel: "text" });
    await finalized("late-2");
    expect(arrivedOf("late").length).toBe(before);
  });

  test("a late call's end says who ended it instead", async () => {
    await report("late-call", "conversation-ended", conversation);
    await finalized("late-call");
    const answer = await report("late-call", "call-ended", call);
    expect(answer.body.data).toMatchObject({ late: true, duplicate: false, events: [] });
    const { body } = await server.api("GET", path("late-call"));
    expect(body.data).toMatchObject({ callStatus: "unknown", late: { call } });
    const reports = body.data.timeline.reports.map(({ type, by }: Record<string, string>) => [type, by]);
    expect(reports).toEqual([
      ["conversation-ended", "runtime"],
      ["call-ended", "sendoff"],
    ]);
  });
});

describe("a thousand calls whose end never comes", () => {
  test("are all finalized, each once, though two servers look for them", async () => {
    const other = await startTestServer({ SENDOFF_CALL_GRACE: "600ms" }, server);
    const items = Array.from({ length: 1_000 }, (_, index) => ({
      type: "conversation-ended",
      sessionId: `crowd-${index}`,
      ...conversation,
      extractedVariables: {},
    }));
    const answer = await server.api("POST", `/v1/projects/${server.projectId}/reports`, items);
    expect(answer.body.data.every((item: { status: number }) => item.status === 200)).toBe(true);
    await until("all are finalized", async () => {
      const { rows: open } = await server.pool.query(
        "SELECT count(*) AS n FROM sessions WHERE session_id LIKE 'crowd-%' AND finalized_at IS NULL",
      );
      return open[0].n === 0;
    });
    const { rows: slow } = await server.pool.query(
      `SELECT max(extract(epoch FROM finalized_at - conversation_reported_at)) AS longest,
         (SELECT count(*) FROM events JOIN sessions USING (session_key) WHERE session_id LIKE 'crowd-%') AS events
       FROM sessions WHERE session_id LIKE 'crowd-%'`,
    );
    // The 2 s of guarantees, L1, are the rig's to hold on a machine of its own (chaos/); here, only that none is forgotten.
    expect(Number(slow[0].longest)).toBeLessThan(15);
    expect(slow[0].events).toBe(3_000);
    await other.stop();
  });
});
