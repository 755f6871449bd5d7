import type { ServerResponse } from "node:http";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Received, type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { type ApiAnswer, expectRefused } from "./refused.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

/** A project without any endpoint, and its own key in every call. */
interface Fresh {
  readonly id: string;
  call(method: string, path: string, body?: unknown): Promise<ApiAnswer>;
  /** A call under the project's own path, without /v1/projects. */
  hook(method: string, path?: string, body?: unknown): Promise<ApiAnswer>;
  report(sessionId: string, type: string, body: object): Promise<ApiAnswer>;
  /** The project's rows of webhook_logs, oldest first, as "event outcome". */
  logs(): Promise<string[]>;
}

async function freshProject(): Promise<Fresh> {
  const { body } = await server.api("POST", "/v1/projects", { name: "p" }, server.developerKey);
  const { id, key } = body.data;
  const call: Fresh["call"] = (method, path, sent) => server.api(method, path, sent, key);
  return {
    id,
    call,
    hook: (method, path = "", sent) => call(method, `/project/${id}/webhooks${path}`, sent),
    report: (sessionId, type, sent) =>
      call("POST", `/v1/projects/${id}/sessions/${sessionId}/${type}`.replace(/\/$/, ""), sent),
    async logs() {
      const answer = await call("GET", `/v1/projects/${id}/webhook-logs?limit=500`);
      return answer.body.data
        .map((log: Record<string, unknown>) => `${log.event} ${log.outcome}`)
        .toReversed();
    },
  };
}

const conversation = {
  channel: "call",
  currentNodeId: "bye",
  messagesCount: 2,
  extractedVariables: { a: 1 },
};
const call = { callStatus: "userHangup", callDuration: 3 };
const fourEvents = ["session.started", "session.ended", "call.ended", "session.finalized"];

/** Deliveries that are owed to a project's endpoints and not settled. */
async function owed(projectId: string): Promise<number> {
  const { rows } = await server.pool.query<{ count: number }>(
    "SELECT count(*) AS count FROM deliveries JOIN events USING (event_id) WHERE project_id = $1",
    [projectId],
  );
  return rows[0]?.count ?? -1;
}

test("the n8n node's requests work in its order, and each of the four events arrives at its URL", async () => {
  const sink = await startSink();
  // What the node sends: a JSON content type on every request, and no body where it has nothing to say.
  const send = async (method: string, path: string, body?: object): Promise<[number, unknown]> => {
    const response = await fetch(server.apiUrl + path, {
      method,
      headers: { authorization: `Bearer ${server.projectKey}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return [response.status, await response.json()];
  };
  const webhooks = `/project/${server.projectId}/webhooks`;
  expect(await send("GET", "/v1/projects")).toMatchObject([
    200,
    { data: [{ id: server.projectId, name: "First project" }] },
  ]);
  expect(await send("POST", `${webhooks}/check`, { url: sink.url })).toEqual([200, { exists: false }]);
  const [status, made] = await send("POST", webhooks, { url: sink.url, events: fourEvents });
  const { id } = made as { id: string };
  expect([status, made]).toEqual([
    201,
    {
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      url: sink.url,
      events: fourEvents,
      createdAt: expect.stringMatching(/Z$/),
      secret: expect.stringMatching(/^whsec_/),
    },
  ]);
  expect(await send("POST", `${webhooks}/check`, { url: sink.url })).toEqual([200, { exists: true, id }]);

  const sessions = `/v1/projects/${server.projectId}/sessions`;
  await send("POST", sessions, { sessionId: "n8n-1", channel: "call" });
  await send("POST", `${sessions}/n8n-1/conversation-ended`, conversation);
  await send("POST", `${sessions}/n8n-1/call-ended`, call);
  await sink.arrived(4);
  expect(sink.received.map(({ json }) => json.event)).toEqual(fourEvents);
  expect(sink.received[0]?.json).toEqual({
    event: "session.started",
    sessionId: "n8n-1",
    projectId: server.projectId,
    timestamp: expect.stringMatching(/^\d{4}-.*\.\d{3}Z$/),
    channel: "call",
  });
  expect(Object.keys(sink.received[0]?.json)).toEqual(
    "event sessionId projectId timestamp channel".split(" "),
  );

  expect(await send("DELETE", `${webhooks}/${id}`)).toMatchObject([200, { success: true, id }]);
  expect(await send("POST", `${webhooks}/check`, { url: sink.url })).toEqual([200, { exists: false }]);
  await sink.close();
});

describe("a project webhook", () => {
  test("is one of several: each gets what it subscribes to, signed with the secret that its creation told", async () => {
    const project = await freshProject();
    const [one, other] = [await startSink(), await startSink()];
    const made = await project.hook("POST", "", {
      url: one.url,
      headers: [{ key: "X-Token", value: "abcdefghijkl" }],
      delivery: { timeout: "5s" },
    });
    await project.hook("POST", "", { url: other.url, events: ["session.finalized", "recording.ready"] });
    await project.report("s-1", "conversation-ended", { ...conversation, channel: "text" });
    await Promise.all([one.arrived(1), other.arrived(1)]);
    expect(one.received[0]?.json.event).toBe("session.ended");
    expect(one.received[0]?.headers["x-token"]).toBe("abcdefghijkl");
    expect(other.received[0]?.json.event).toBe("session.finalized");
    const { headers, body } = one.received[0] as Received;
    expect(() => new Webhook(made.body.secret).verify(body, headers as Record<string, string>)).not.toThrow();
    expect(() =>
      new Webhook(made.body.secret).verify(
        other.received[0]?.body ?? "",
        other.received[0]?.headers as Record<string, string>,
      ),
    ).toThrow();
    await Promise.all([one.close(), other.close()]);
  });

  test("is listed as it was given, with masked header values and without its secret; the agent's is not among them", async () => {
    const project = await freshProject();
    const agent = `/v1/projects/${project.id}/agent`;
    await project.call("PATCH", agent, { postSessionWebhook: { url: "http://127.0.0.1:9/agent" } });
    expect((await project.hook("GET")).text).toBe('{"webhooks":[]}');
    const given = {
      url: "http://127.0.0.1:9/hook",
      headers: [{ key: "X-Token", value: "abcdefghijkl" }],
      events: ["session.started"],
      delivery: { timeout: "5s", retries: { attempts: 3, window: "1h" } },
    };
    const made = (await project.hook("POST", "", given)).body;
    await project.hook("POST", "", { url: "http://127.0.0.1:9/second" });
    const shown = { ...given, headers: [{ key: "X-Token", value: "••••ijkl" }] };
    expect((await project.hook("GET")).body).toEqual({
      webhooks: [
        { id: made.id, ...shown, createdAt: made.createdAt },
        {
          id: expect.any(String),
          url: "http://127.0.0.1:9/second",
          createdAt: expect.any(String),
        },
      ],
    });
    expect(made).toEqual({
      id: made.id,
      ...shown,
      createdAt: made.createdAt,
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    });
  });

  test("is refused by the rules of the agent's webhook, with the path in this body, and nothing is stored", async () => {
    const project = await freshProject();
    const refused = async (body: object, code: Parameters<typeof expectRefused>[1]): Promise<string> => {
      const answer = await project.hook("POST", "", body);
      expectRefused(answer, code);
      return answer.body.error.details[0]?.path;
    };
    const url = "http://127.0.0.1:9/hook";
    expect(await refused({ url: "http://example.com/" }, "invalid_url")).toBe("url");
    expect(await refused({ url: "https://user:pw@127.0.0.1/" }, "invalid_url")).toBe("url");
    expect(await refused({ url, headers: [{ key: "Host", value: "x" }] }, "invalid_header")).toBe(
      "headers[0]",
    );
    expect(await refused({ url, headers: [{ key: "X", value: "••••abcd" }] }, "masked_value")).toBe(
      "headers[0].value",
    );
    expect(await refused({ url, events: ["session.begun"] }, "invalid_body")).toBe("events[0]");
    expect(await refused({ url, events: ["call.ended", "call.ended"] }, "invalid_body")).toBe("events");
    expect(await refused({ url, evnts: [] }, "invalid_body")).toBe("evnts");
    expect(await refused({}, "invalid_body")).toBe("url");
    expect((await project.hook("GET")).body.webhooks).toEqual([]);
    expectRefused(await project.hook("POST", "/check", { uri: url }), "invalid_body", "did you mean url");
  });

  test("is its project's alone: another's key finds nothing and removes nothing", async () => {
    const [mine, others] = [await freshProject(), await freshProject()];
    const { id, url } = (await mine.hook("POST", "", { url: "http://127.0.0.1:9/hook" })).body;
    expect((await others.hook("POST", "/check", { url })).body).toEqual({ exists: false });
    expectRefused(await others.hook("DELETE", `/${id}`), "webhook_not_found");
    expectRefused(await others.call("DELETE", `/project/${mine.id}/webhooks/${id}`), "project_not_found");
    expect((await mine.hook("POST", "/check", { url })).body).toEqual({ exists: true, id });
    // A URL is found in whatever spelling; one that is none is no webhook's.
    expect((await mine.hook("POST", "/check", { url: "HTTP://127.0.0.1:9/x/../hook" })).body.id).toBe(id);
    expect((await mine.hook("POST", "/check", { url: "not a URL" })).body).toEqual({ exists: false });
  });

  test("that is removed twice, never was, or is the agent's, is not found", async () => {
    const project = await freshProject();
    const { id } = (await project.hook("POST", "", { url: "http://127.0.0.1:9/hook" })).body;
    expect((await project.hook("DELETE", `/${id}`)).body).toEqual({ success: true, id, cancelled: 0 });
    expectRefused(await project.hook("DELETE", `/${id}`), "webhook_not_found", id);
    expectRefused(await project.hook("DELETE", "/1"), "webhook_not_found");
    const { rows } = await server.pool.query<{ id: string }>(
      "SELECT endpoint_id AS id FROM endpoints WHERE project_id = $1 AND kind = 'agent'",
      [server.projectId],
    );
    const agents = await server.api("DELETE", `/project/${server.projectId}/webhooks/${rows[0]?.id}`);
    expectRefused(agents, "webhook_not_found", "The agent's is removed by PATCH of the agent");
  });
});

describe("how many and which endpoints a project may have", () => {
  test("U47: the 51st endpoint of a project is refused, whichever kind it is, until one is removed", async () => {
    const project = await freshProject();
    const at = (number: number): object => ({ url: `http://127.0.0.1:9/${number}` });
    const ids: string[] = [];
    for (let number = 1; number <= 50; number++) {
      const { status, body } = await project.hook("POST", "", at(number));
      expect(status).toBe(201);
      ids.push(body.id);
    }
    expectRefused(await project.hook("POST", "", at(51)), "quota", "50 endpoints", "at most 50");
    const agent = `/v1/projects/${project.id}/agent`;
    expectRefused(await project.call("PATCH", agent, { postSessionWebhook: at(51) }), "quota");
    await project.hook("DELETE", `/${ids[7]}`);
    expect((await project.call("PATCH", agent, { postSessionWebhook: at(51) })).status).toBe(200);
    // What replaces an endpoint is no further one.
    expect((await project.call("PATCH", agent, { postSessionWebhook: at(52) })).status).toBe(200);
    expectRefused(await project.hook("POST", "", at(53)), "quota");
    expect((await project.hook("GET")).body.webhooks.length).toBe(49);
  });

  test("U48: the same URL twice in a project is refused, also beside the agent's", async () => {
    const project = await freshProject();
    const url = "http://127.0.0.1:9/hook";
    const agent = (to: string): Promise<ApiAnswer> =>
      project.call("PATCH", `/v1/projects/${project.id}/agent`, { postSessionWebhook: { url: to } });
    // Eight at once: one of them is the first.
    const answers = await Promise.all(Array.from({ length: 8 }, () => project.hook("POST", "", { url })));
    const made = answers.find(({ status }) => status === 201);
    const refused = answers.filter((answer) => answer !== made);
    expect(refused.length).toBe(7);
    for (const answer of refused) expectRefused(answer, "duplicate_endpoint", url, made?.body.id);
    expect(refused[0]?.body.error.details[0].path).toBe("url");
    // Another spelling is not taken at all, so that this is all there is to compare.
    expectRefused(await project.hook("POST", "", { url: "HTTP://127.1:9/a/../hook" }), "invalid_url");
    expectRefused(await agent(url), "duplicate_endpoint", made?.body.id);
    expect((await agent("http://127.0.0.1:9/agent")).status).toBe(200);
    expect((await agent("http://127.0.0.1:9/agent")).status).toBe(200);
    expectRefused(
      await project.hook("POST", "", { url: "http://127.0.0.1:9/agent" }),
      "duplicate_endpoint",
      "the agent's webhook has it",
    );
    await project.hook("DELETE", `/${made?.body.id}`);
    expect((await project.hook("POST", "", { url })).status).toBe(201);
    expect((await (await freshProject()).hook("POST", "", { url })).status).toBe(201);
  });

  test("U48: the tables refuse it too", async () => {
    const copied = server.pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, timeout_ms)
       SELECT gen_random_uuid(), project_id, 'project', url, 's', 10000 FROM endpoints
       WHERE project_id = $1 AND kind = 'agent' AND removed_at IS NULL`,
      [server.projectId],
    );
    await expect(copied).rejects.toThrow("endpoints_one_per_url");
  });
});

describe("M6: removing a webhook", () => {
  /** A sink that answers when it is told to. */
  async function holdingSink(): Promise<{ sink: Sink; release(): void }> {
    const held: ServerResponse[] = [];
    const sink = await startSink((response) => held.push(response));
    const release = (): void => {
      for (const response of held.splice(0)) response.end("ok");
    };
    return { sink, release };
  }

  test("cancels what is pending with a log row each, and lets the attempt in flight finish", async () => {
    const project = await freshProject();
    const { sink, release } = await holdingSink();
    const { id } = (await project.hook("POST", "", { url: sink.url, events: fourEvents })).body;
    await project.report("s-1", "conversation-ended", conversation);
    await sink.arrived(1);
    await project.report("s-1", "call-ended", call);
    expect((await project.hook("DELETE", `/${id}`)).body).toEqual({ success: true, id, cancelled: 3 });
    expect(await project.logs()).toEqual(
      ["session.ended", "call.ended", "session.finalized"].map((event) => `${event} cancelled`),
    );
    release();
    await until("nothing is owed", async () => (await owed(project.id)) === 0);
    // In the order of the attempts: it had begun before the others were cancelled.
    expect((await project.logs())[0]).toBe("session.started delivered");
    expect(sink.received.length).toBe(1);
    const { rows } = await server.pool.query(
      `SELECT attempt, trigger, error_code, settled_as, response_status FROM webhook_logs
       WHERE project_id = $1 ORDER BY log_id LIMIT 1`,
      [project.id],
    );
    expect(rows[0]).toEqual({
      attempt: 1,
      trigger: "live",
      error_code: "endpoint_removed",
      settled_as: "cancelled",
      response_status: null,
    });
    // What is reported from now on is owed to nobody.
    await project.report("s-2", "conversation-ended", conversation);
    const { body } = await project.call("GET", `/v1/projects/${project.id}/sessions/s-2`);
    expect(body.data.timeline.events).toMatchObject([
      { event: "session.ended", unsentReason: "no_endpoint" },
    ]);
    await sink.close();
  });

  test("cancels a retry that waits for its time", async () => {
    const project = await freshProject();
    const sink = await startSink((response) => response.writeHead(500).end());
    const retries = { attempts: 3, window: "1h" };
    const { id } = (await project.hook("POST", "", { url: sink.url, delivery: { retries } })).body;
    await project.report("s-1", "conversation-ended", conversation);
    await until("the first attempt is logged", async () => (await project.logs()).length === 1);
    expect((await project.hook("DELETE", `/${id}`)).body.cancelled).toBe(1);
    const { body } = await project.call("GET", `/v1/projects/${project.id}/webhook-logs`);
    expect(body.data).toMatchObject([
      { attempt: 2, trigger: "retry", outcome: "cancelled", settledAs: "cancelled" },
      { attempt: 1, trigger: "live", outcome: "rejected", settledAs: null },
    ]);
    expect(await owed(project.id)).toBe(0);
    await sink.close();
  });

  test("cancels a resend and a test that wait, under the number of the attempt that it would have been", async () => {
    const project = await freshProject();
    const { sink, release } = await holdingSink();
    const { id } = (await project.hook("POST", "", { url: sink.url })).body;
    await project.report("s-1", "conversation-ended", conversation);
    await sink.arrived(1);
    release();
    await until("it is delivered", async () => (await project.logs()).length === 1);
    // As it stands before any worker looks at it; the hint that a real resend gives would have it claimed at once.
    await server.pool.query(
      `INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, attempts_before, due_at)
       SELECT event_id, session_key, $1, false, 'resend', 1, now() + interval '1 hour' FROM events
       WHERE project_id = $2`,
      [id, project.id],
    );
    await server.pool.query(
      `WITH made AS (
         INSERT INTO test_events (project_id, session_id, event, webhook_id, payload)
         VALUES ($2, 'sendoff-test-1', 'session.ended', 'msg_1', '{}') RETURNING event_id)
       INSERT INTO deliveries (event_id, session_key, endpoint_id, in_lane, trigger, due_at)
       SELECT event_id, event_id, $1, false, 'test', now() + interval '1 hour' FROM made`,
      [id, project.id],
    );
    expect((await project.hook("DELETE", `/${id}`)).body.cancelled).toBe(2);
    const { body } = await project.call("GET", `/v1/projects/${project.id}/webhook-logs`);
    expect(body.data.slice(0, 2)).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ attempt: 2, trigger: "resend", outcome: "cancelled", sessionId: "s-1" }),
        expect.objectContaining({
          attempt: 1,
          trigger: "test",
          outcome: "cancelled",
          sessionId: "sendoff-test-1",
        }),
      ]),
    );
    await sink.close();
  });

  test("in the midst of traffic: nothing begins a second after the answer, and each delivery settles once", async () => {
    const project = await freshProject();
    let lastMs = 0;
    const sink = await startSink((response) => {
      lastMs = performance.now();
      setImmediate(() => response.end("ok"));
    });
    const { id } = (await project.hook("POST", "", { url: sink.url })).body;
    const report = (index: number): Promise<unknown> =>
      project.report(`s-${index}`, "conversation-ended", conversation);
    const reports = Array.from({ length: 400 }, (_, index) => report(index));
    await sink.arrived(20);
    expect((await project.hook("DELETE", `/${id}`)).status).toBe(200);
    const answeredMs = performance.now();
    await Promise.all(reports);
    await until("nothing is owed", async () => (await owed(project.id)) === 0);
    expect(lastMs).toBeLessThan(answeredMs + 1_000);
    const { rows } = await server.pool.query<{ deliveries: number; settlings: number; posts: number }>(
      `SELECT sum(deliveries)::int AS deliveries,
         (SELECT count(settled_as)::int FROM webhook_logs WHERE project_id = $1) AS settlings,
         (SELECT count(*)::int FROM webhook_logs WHERE project_id = $1 AND outcome = 'delivered') AS posts
       FROM events WHERE project_id = $1`,
      [project.id],
    );
    expect(rows[0]?.settlings).toBe(rows[0]?.deliveries);
    expect(rows[0]?.posts).toBe(sink.received.length);
    await sink.close();
  });
});
