// What the dashboard shows of one session and one attempt: the whole timeline with what is missing and why, the attempt's
// request to be made again, bodies as files; and what arrived at the built-in endpoint, with the worth of its signature.
import { ProjectInspectedRequest, Timeline, UnsentEvent, WebhookLogDetail } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer;
let sink: Sink;
const project = (): string => `/v1/projects/${server.projectId}`;
const markup = '<script>alert("\u202e1")</script>';

beforeAll(async () => {
  server = await startTestServer();
  sink = await startSink((response, { json }) => {
    if (json.sessionId === "slow") return;
    response.statusCode = json.sessionId === "again" ? 503 : 200;
    response.end(markup);
  });
  await setWebhook(sink.url);
});
afterAll(async () => {
  await server.stop();
  await sink.close();
});

const setWebhook = (url: string, more: object = {}) =>
  server.api("PATCH", `${project()}/agent`, {
    postSessionWebhook: {
      url,
      events: ["session.ended", "call.ended", "session.finalized"],
      headers: [{ key: "X-Token", value: "very-secret-token" }],
      ...more,
    },
  });
const report = (sessionId: string, type: string, body: object) =>
  server.api("POST", `${project()}/sessions/${sessionId}/${type}`, body);
const conversation = { currentNodeId: "bye", messagesCount: 1, extractedVariables: { a: markup } };
const called = { callStatus: "userHangup", callDuration: 3 };

async function timelineOf(sessionId: string): Promise<Timeline> {
  const answer = await server.api("GET", `${project()}/sessions/${sessionId}`);
  expect(answer.status, answer.text).toBe(200);
  return Timeline.parse(answer.body.data.timeline);
}
const missingOf = async (sessionId: string): Promise<string[]> =>
  (await timelineOf(sessionId)).missing.map(({ event, reason }) => `${event} ${reason}`);

describe("what is missing of a session", () => {
  test("is said event by event as the facts come, with the deadline for what Sendoff waits for", async () => {
    await server.api("POST", `${project()}/sessions`, { sessionId: "call", channel: "call" });
    expect(await missingOf("call")).toEqual([
      "session.ended conversation_not_ended",
      "call.ended call_not_ended",
      "session.finalized conversation_and_call_not_ended",
    ]);
    await report("call", "call-ended", called);
    expect(await missingOf("call")).toEqual([
      "session.ended conversation_not_ended",
      "session.finalized conversation_not_ended",
      "recording.ready recording_not_reported",
    ]);
    const { missing } = await timelineOf("call");
    const seconds = missing.map(({ expectedBy }) =>
      expectedBy === null ? null : Math.round((Date.parse(expectedBy) - Date.now()) / 10_000) * 10,
    );
    expect(seconds).toEqual([30, 30, null]);
    await report("call", "conversation-ended", conversation);
    expect(await missingOf("call")).toEqual(["recording.ready recording_not_reported"]);
    await report("call", "recording-processed", { success: false });
    expect(await missingOf("call")).toEqual([]);
  });

  test("of a text session is its one end, and of one whose channel nobody has said, that", async () => {
    await server.api("POST", `${project()}/sessions`, { sessionId: "text", channel: "text" });
    expect(await missingOf("text")).toEqual([
      "session.ended conversation_not_ended",
      "session.finalized conversation_not_ended",
    ]);
    await report("text", "conversation-ended", conversation);
    expect(await missingOf("text")).toEqual([]);
    await report("nobody", "conversation-ended", conversation);
    expect(await missingOf("nobody")).toEqual(["session.finalized channel_not_known"]);
  });

  test("of one that was erased before its end will not come", async () => {
    await server.api("POST", `${project()}/sessions`, { sessionId: "erased", channel: "text" });
    await server.api("DELETE", `${project()}/sessions/erased`);
    expect(await missingOf("erased")).toEqual([
      "session.ended session_erased",
      "session.finalized session_erased",
    ]);
  });
});

describe("the deliveries of a session", () => {
  test("that wait say until when, and one under way since when", async () => {
    await setWebhook(sink.url, { delivery: { timeout: "4s", retries: { attempts: 3, window: "1h" } } });
    await report("again", "conversation-ended", { ...conversation, channel: "text" });
    await until("it was attempted", async () => (await timelineOf("again")).attempts.length === 1);
    const [ended, finalized] = (await timelineOf("again")).deliveries;
    expect(ended).toMatchObject({ event: "session.ended", state: "pending", attempts: 1, startedAt: null });
    expect(Date.parse(ended?.dueAt ?? "")).toBeGreaterThan(Date.now());
    expect(finalized).toMatchObject({ event: "session.finalized", state: "pending", attempts: 0 });
    await report("slow", "conversation-ended", { ...conversation, channel: "text" });
    await until(
      "it is under way",
      async () => (await timelineOf("slow")).deliveries[0]?.state === "in_flight",
    );
    const [slow] = (await timelineOf("slow")).deliveries;
    expect(slow?.dueAt).toBeNull();
    expect(Date.now() - Date.parse(slow?.startedAt ?? "")).toBeLessThan(20_000);
    await setWebhook(sink.url);
  });

  test("are all there at every moment, also while they settle", async () => {
    await setWebhook(sink.url);
    const incomplete: string[] = [];
    const watch = async (sessionId: string): Promise<void> => {
      await report(sessionId, "conversation-ended", { ...conversation, channel: "text" });
      await until(`${sessionId} has settled`, async () => {
        const { events, deliveries, attempts } = await timelineOf(sessionId);
        const owed = events.reduce((sum, event) => sum + event.deliveries, 0);
        const told = deliveries.map(({ event, state }) => `${event} ${state}`).join(", ");
        if (deliveries.length !== owed) incomplete.push(`${sessionId}: ${owed} owed, ${told || "none"} told`);
        return attempts.length === 2;
      });
    };
    for (let round = 0; round < 40; round += 1) {
      await Promise.all([1, 2, 3].map((one) => watch(`settles-${round}-${one}`)));
    }
    expect(incomplete).toEqual([]);
  });
});

describe("one attempt", () => {
  const logOf = async (sessionId: string): Promise<WebhookLogDetail> => {
    const logs = `${project()}/webhook-logs`;
    await until(
      "it is logged",
      async () => (await server.api("GET", `${logs}?sessionId=${sessionId}`)).body.data.length > 0,
    );
    const { id } = (await server.api("GET", `${logs}?sessionId=${sessionId}`)).body.data.at(-1);
    return WebhookLogDetail.parse((await server.api("GET", `${logs}/${id}`)).body.data);
  };

  test("has what is needed to make its request again, and no secret", async () => {
    await report("curl", "conversation-ended", { ...conversation, channel: "text" });
    const log = await logOf("curl");
    const headers = new Map(log.requestHeaders.map(({ name, value }) => [name.toLowerCase(), value]));
    expect(headers.get("x-token")).toBe("••••oken");
    const sent = sink.received.find(({ headers: of }) => of["webhook-id"] === log.webhookId)?.headers ?? {};
    const names = Object.keys(sent).filter(
      (name) => !["host", "connection", "content-length", "transfer-encoding"].includes(name),
    );
    expect([...headers.keys()].sort()).toEqual(names.sort());
    for (const name of [
      "content-type",
      "user-agent",
      "webhook-id",
      "sendoff-attempt",
      "sendoff-trigger",
      "accept-encoding",
    ]) {
      expect(headers.get(name), name).toBe(sent[name]);
    }
    expect(
      Math.abs(Number(headers.get("webhook-timestamp")) - Number(sent["webhook-timestamp"])),
    ).toBeLessThan(2);
    expect(JSON.stringify(log)).not.toContain("very-secret-token");
    expect(log.requestBytes).toBe(Buffer.byteLength(log.requestBody ?? ""));
    expect([log.responseBody, log.responseBytes]).toEqual([markup, Buffer.byteLength(markup)]);
    expect(Date.parse(log.finishedAt ?? "") - Date.parse(log.attemptedAt)).toBe(
      Math.floor(log.durationMs ?? -1),
    );
  });

  test("M12: its bodies come as files that no browser shows as a page", async () => {
    const { id, requestBody } = await logOf("curl");
    for (const [part, body] of [
      ["request", requestBody],
      ["response", markup],
    ] as const) {
      const answer = await server.api("GET", `${project()}/webhook-logs/${id}/raw/${part}`);
      expect([answer.status, answer.text]).toEqual([200, body]);
      expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
      expect(answer.headers.get("content-disposition")).toBe(`attachment; filename="${part}-${id}.txt"`);
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      expect(answer.headers.get("content-security-policy")).toContain("sandbox");
      expect(answer.headers.get("referrer-policy")).toBe("no-referrer");
    }
    expectRefused(await server.api("GET", `${project()}/webhook-logs/${id}/raw/both`), "invalid_path");
    expectRefused(
      await server.api("GET", `${project()}/webhook-logs/999999/raw/request`),
      "webhook_log_not_found",
    );
  });
});

describe("what went nowhere and what arrived", () => {
  test("an event without an endpoint is listed with the reason", async () => {
    await server.api("PATCH", `${project()}/agent`, { postSessionWebhook: null });
    await report("nowhere", "conversation-ended", { ...conversation, channel: "text" });
    const answer = await server.api("GET", `${project()}/unsent-events?limit=2`);
    const events = answer.body.data.map((one: unknown) => UnsentEvent.parse(one)) as UnsentEvent[];
    expect(events.map(({ event, sessionId, reason }) => `${event} ${sessionId} ${reason}`)).toEqual([
      "session.finalized nowhere no_endpoint",
      "session.ended nowhere no_endpoint",
    ]);
    const rest = await server.api("GET", `${project()}/unsent-events?cursor=${answer.body.nextCursor}`);
    expect(rest.body.data.map(({ event }: UnsentEvent) => event)).toContain("recording.ready");
    expect(rest.body.nextCursor).toBeNull();
  });

  test("a request at the built-in endpoint is shown with the worth of its signature", async () => {
    const read = async (query = ""): Promise<ProjectInspectedRequest[]> => {
      const { body } = await server.api("GET", `${project()}/inspector-requests${query}`);
      return body.data.map((one: unknown) => ProjectInspectedRequest.parse(one));
    };
    expect(await read()).toEqual([]);
    await setWebhook(server.inspectorUrl);
    await report("signed", "conversation-ended", { ...conversation, channel: "text" });
    await until("both have arrived", async () => (await read()).length === 2);
    const [newest] = await read();
    expect(newest?.signature).toBe("valid");
    const again = (headers: Record<string, string>, body: string) =>
      fetch(server.inspectorUrl, { method: "POST", headers, body });
    const {
      host: _host,
      connection: _connection,
      "content-length": _length,
      // Kept masked.
      "x-token": _token,
      ...headers
    } = newest?.headers ?? {};
    await again(headers, newest?.body ?? "");
    await again(headers, `${newest?.body} `);
    await again({ ...headers, "webhook-signature": "v1,é v1" }, newest?.body ?? "");
    await again({}, "hello");
    const after = await read(`?after=${newest?.id}`);
    expect(after.map(({ signature }) => signature)).toEqual(["valid", "invalid", "invalid", "none"]);
    // After a rotation the old secret signs along until it ends.
    await server.api("POST", `${project()}/agent/webhook/secret`);
    expect((await read(`?after=${newest?.id}`))[0]?.signature).toBe("valid");
    await server.api("POST", `${project()}/agent/webhook/secret`, { overlap: "0s" });
    expect((await read(`?after=${newest?.id}`))[0]?.signature).toBe("invalid");
    const page = await server.api("GET", `${project()}/inspector-requests?limit=4`);
    const next = await server.api(
      "GET",
      `${project()}/inspector-requests?limit=4&cursor=${page.body.nextCursor}`,
    );
    expect([...page.body.data, ...next.body.data]).toHaveLength(6);
    expect(next.body.nextCursor).toBeNull();
    const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
    const other = await server.api(
      "GET",
      `/v1/projects/${body.data.id}/inspector-requests`,
      undefined,
      body.data.key,
    );
    expect(other.body.data).toEqual([]);
  });
});
