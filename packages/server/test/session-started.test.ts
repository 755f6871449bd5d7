import { randomUUID } from "node:crypto";
import type { ServerResponse } from "node:http";
import { agentEvents } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import type { ReportIntake } from "../src/lifecycle/apply.ts";
import { createTestIntake } from "./intake.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const text = { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables: {} };
const busy = { callStatus: "busy", callDuration: 0, conversation: "none" };

/** A project of its own with a webhook for these events, or with none. */
async function projectWith(webhook: object | null): Promise<{
  readonly id: string;
  api(method: string, path: string, body?: object): ReturnType<TestServer["api"]>;
  /** Names of the session's events, in order, as its timeline shows them. */
  eventsOf(sessionId: string): Promise<string[]>;
}> {
  const { body } = await server.api("POST", "/v1/projects", { name: "p" }, server.developerKey);
  const { id, key } = body.data;
  if (webhook !== null) {
    expect((await server.api("POST", `/project/${id}/webhooks`, webhook, key)).status).toBe(201);
  }
  const api = (method: string, path: string, sent?: object): ReturnType<TestServer["api"]> =>
    server.api(method, `/v1/projects/${id}${path}`, sent, key);
  return {
    id,
    api,
    async eventsOf(sessionId) {
      const { timeline } = (await api("GET", `/sessions/${sessionId}`)).body.data;
      return timeline.events.map(({ event }: { event: string }) => event);
    },
  };
}

describe("session.started", () => {
  test("is the first of its lane: the session's other events wait until it has settled", async () => {
    const held: ServerResponse[] = [];
    let holds = true;
    const sink = await startSink((response) => {
      if (holds) held.push(response);
      else response.end("ok");
    });
    const events = ["session.started", ...agentEvents];
    const project = await projectWith({ url: sink.url, events });
    await project.api("POST", "/sessions", { sessionId: "s-1", channel: "call" });
    await sink.arrived(1);
    await project.api("POST", "/sessions/s-1/call-ended", busy);
    await project.api("POST", "/sessions/s-1/recording-processed", { success: false });
    // What came later was claimed meanwhile, and so was the recording's event, which waits for nothing.
    await project.api("POST", "/sessions", { sessionId: "s-2", channel: "text" });
    await sink.arrived(3);
    const seen = (): string[] =>
      sink.received.filter(({ json }) => json.sessionId === "s-1").map(({ json }) => json.event);
    expect(seen()).toEqual(["session.started", "recording.ready"]);
    holds = false;
    for (const response of held.splice(0)) response.end("ok");
    await sink.arrived(6);
    expect(seen().slice(2)).toEqual(["session.ended", "call.ended", "session.finalized"]);
    await sink.close();
  });

  test("is emitted where a webhook asks for it, and goes to no other endpoint", async () => {
    const [sink, agentSink] = [await startSink(), await startSink()];
    const project = await projectWith({ url: sink.url, events: ["session.started"] });
    const postSessionWebhook = { url: agentSink.url, events: agentEvents };
    await project.api("PATCH", "/agent", { postSessionWebhook });
    const { body } = await project.api("POST", "/sessions/s-1/conversation-ended", text);
    expect(body.data.events).toEqual(["session.started", "session.ended", "session.finalized"]);
    await Promise.all([sink.arrived(1), agentSink.arrived(2)]);
    expect(sink.received[0]?.json).toMatchObject({ event: "session.started", channel: "text" });
    expect(agentSink.received.map(({ json }) => json.event)).toEqual(["session.ended", "session.finalized"]);
    expect((await project.api("POST", "/sessions/s-1/conversation-ended", text)).body.data).toMatchObject({
      duplicate: true,
      events: [],
    });
    await Promise.all([sink.close(), agentSink.close()]);
  });

  test.each<[string, object | null]>([
    ["no endpoint at all", null],
    ["a webhook that names no events", { url: "http://127.0.0.1:9/hook" }],
    ["a webhook for other events", { url: "http://127.0.0.1:9/hook", events: ["call.ended"] }],
  ])("is not emitted with %s: it would be a row for nobody", async (_what, webhook) => {
    const project = await projectWith(webhook);
    const { body } = await project.api("POST", "/sessions/s-1/call-ended", busy);
    expect(body.data.events).toEqual(["session.ended", "call.ended", "session.finalized"]);
    expect(await project.eventsOf("s-1")).toEqual(["session.ended", "call.ended", "session.finalized"]);
  });

  test("is not made up for by a webhook that is made or removed after the session began", async () => {
    const project = await projectWith(null);
    await project.api("POST", "/sessions", { sessionId: "early", channel: "text" });
    const key = server.developerKey;
    const webhook = { url: "http://127.0.0.1:9/hook", events: ["session.started"] };
    const made = await server.api("POST", `/project/${project.id}/webhooks`, webhook, key);
    await project.api("POST", "/sessions/early/conversation-ended", text);
    expect(await project.eventsOf("early")).toEqual(["session.ended", "session.finalized"]);
    await project.api("POST", "/sessions", { sessionId: "between", channel: "text" });
    await server.api("DELETE", `/project/${project.id}/webhooks/${made.body.id}`, undefined, key);
    await project.api("POST", "/sessions", { sessionId: "after", channel: "text" });
    expect(await project.eventsOf("between")).toEqual(["session.started"]);
    expect(await project.eventsOf("after")).toEqual([]);
  });

  test("waits for the channel, and is not emitted once the session has ended without one", async () => {
    const project = await projectWith({ url: "http://127.0.0.1:9/hook", events: ["session.started"] });
    await project.api("PATCH", "/sessions/s-1", { messagesCount: 1 });
    expect(await project.eventsOf("s-1")).toEqual([]);
    await project.api("POST", "/sessions/s-1/call-ended", { ...busy, conversation: undefined });
    expect(await project.eventsOf("s-1")).toEqual(["session.started", "call.ended"]);
    const { channel: _channel, ...unstated } = text;
    await project.api("POST", "/sessions/s-2/conversation-ended", unstated);
    await project.api("POST", "/sessions/s-2/call-ended", busy);
    expect(await project.eventsOf("s-2")).toEqual(["session.ended", "call.ended", "session.finalized"]);
  });

  test("is emitted once when a session's first reports come at the same instant to several processes", async () => {
    const { id } = await projectWith({ url: "http://127.0.0.1:9/hook", events: ["session.started"] });
    const intakes = Array.from({ length: 4 }, () => createTestIntake(server.pool));
    const sessionIds = Array.from({ length: 50 }, () => randomUUID());
    const reports = sessionIds.flatMap((sessionId) =>
      Array.from({ length: 8 }, (_, index) =>
        (intakes[index % 4] as ReportIntake).apply(
          id,
          sessionId,
          index < 4
            ? { type: "created", channel: "text", variables: null, startNodeId: null }
            : { type: "progress", currentNodeId: null, messagesCount: index, extractedVariables: null },
        ),
      ),
    );
    const answers = await Promise.all(reports);
    expect(answers.flatMap(({ events }) => events)).toEqual(sessionIds.map(() => "session.started"));
    const { rows } = await server.pool.query(
      "SELECT event, deliveries, count(*) FROM events WHERE project_id = $1 GROUP BY event, deliveries",
      [id],
    );
    expect(rows).toEqual([{ event: "session.started", deliveries: 1, count: 50 }]);
  });
});
