// The live tail of webhook_logs: each row as it is written, also one whose id is smaller than one that came before.
import type { WebhookLog } from "@sendoff/contract";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { streamLimits } from "../src/feed/streams.ts";
import { positionAfter, readTail, tailNow } from "../src/logbook/tail.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer;
const project = (): string => `/v1/projects/${server.projectId}`;
const tails: AbortController[] = [];

beforeAll(async () => {
  server = await startTestServer();
});
afterEach(() => {
  for (const tail of tails.splice(0)) tail.abort();
});
afterAll(() => server.stop());

interface Tail {
  readonly rows: WebhookLog[];
  readonly ids: string[];
  ended: boolean;
}

/** Opens a tail and collects what comes. */
async function open(query = "", headers: Record<string, string> = {}): Promise<Tail> {
  const gone = new AbortController();
  tails.push(gone);
  const response = await fetch(`${server.apiUrl}${project()}/webhook-logs${query}`, {
    headers: { authorization: `Bearer ${server.projectKey}`, accept: "text/event-stream", ...headers },
    signal: gone.signal,
  });
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  const tail: Tail = { rows: [], ids: [], ended: false };
  void (async () => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true });
      const messages = text.split("\n\n");
      text = messages.pop() ?? "";
      for (const message of messages) {
        const field = (name: string): string => new RegExp(`^${name}: (.*)$`, "m").exec(message)?.[1] ?? "";
        if (field("event") !== "attempt") continue;
        tail.ids.push(field("id"));
        tail.rows.push(JSON.parse(field("data")));
      }
    }
  })()
    .catch(() => {})
    .finally(() => {
      tail.ended = true;
    });
  return tail;
}

/** Makes an attempt: a text session whose one subscribed event goes to the inspector. */
async function attempt(sessionId: string): Promise<void> {
  await server.api("POST", `${project()}/sessions/${sessionId}/conversation-ended`, {
    channel: "text",
    currentNodeId: "bye",
    messagesCount: 1,
    extractedVariables: {},
  });
}

const has =
  (tail: Tail, ...sessionIds: string[]) =>
  async (): Promise<boolean> =>
    sessionIds.every((id) => tail.rows.some(({ sessionId }) => sessionId === id));

describe("with Accept: text/event-stream", () => {
  test("rows come as they are written, as the list has them, and none of before", async () => {
    await attempt("before");
    await until(
      "it is logged",
      async () =>
        (await server.api("GET", `${project()}/webhook-logs?sessionId=before`)).body.data.length === 2,
    );
    const tail = await open();
    await attempt("after-1");
    await attempt("after-2");
    await until("both have come", has(tail, "after-1", "after-2"));
    await until("all four rows", async () => tail.rows.length === 4);
    expect(tail.rows.some(({ sessionId }) => sessionId === "before")).toBe(false);
    const { body } = await server.api("GET", `${project()}/webhook-logs?limit=4`);
    const byId = (left: WebhookLog, right: WebhookLog): number => Number(left.id) - Number(right.id);
    expect(tail.rows.toSorted(byId)).toEqual((body.data as WebhookLog[]).toSorted(byId));
  });

  test("only those of the filters come", async () => {
    const finalized = await open("?event=session.finalized");
    const rejected = await open("?outcome=rejected");
    const other = await open("?sessionId=only-this");
    const all = await open();
    await attempt("not-this");
    await attempt("only-this");
    await until("all four rows have come", async () => all.rows.length === 4);
    await until("two finalized", async () => finalized.rows.length === 2);
    await until("two of one session", async () => other.rows.length === 2);
    expect(new Set(finalized.rows.map(({ event }) => event))).toEqual(new Set(["session.finalized"]));
    expect(new Set(other.rows.map(({ sessionId }) => sessionId))).toEqual(new Set(["only-this"]));
    expect(rejected.rows).toEqual([]);
  });

  test("with Last-Event-ID it goes on where it was, and loses none of between", async () => {
    const first = await open();
    await attempt("resume-1");
    await until("it has come", async () => first.rows.length === 2);
    tails.pop()?.abort();
    await attempt("resume-2");
    const second = await open("", { "last-event-id": first.ids.at(-1) ?? "" });
    await attempt("resume-3");
    await until("both have come", has(second, "resume-2", "resume-3"));
  });

  test("what is wrong is refused before it begins, and its place is free again", async () => {
    const ask = (query: string, headers: Record<string, string>) =>
      fetch(`${server.apiUrl}${project()}/webhook-logs${query}`, {
        headers: { authorization: `Bearer ${server.projectKey}`, accept: "text/event-stream", ...headers },
      });
    for (let n = 0; n < streamLimits.perProject + 2; n++) {
      expect((await ask("", { "last-event-id": "nothing" })).status).toBe(422);
    }
    expect((await ask("?outcome=over", {})).status).toBe(422);
    for (let n = 0; n < streamLimits.perProject; n++) await open();
    const full = await ask("", {});
    const text = await full.text();
    const answer = { status: full.status, headers: full.headers, text, body: JSON.parse(text) };
    expectRefused(answer, "too_many_streams");
  });

  test("another project sees none of them", async () => {
    const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
    const now = await tailNow(server.pool);
    await attempt("secret");
    await until(
      "it is logged",
      async () =>
        (await server.api("GET", `${project()}/webhook-logs?sessionId=secret`)).body.data.length === 2,
    );
    const none = { event: undefined, outcome: undefined, endpointId: undefined, sessionId: undefined };
    expect((await readTail(server.pool, body.data.id, none, now, 0)).items).toEqual([]);
    expect((await readTail(server.pool, server.projectId, none, now, 0)).items).toHaveLength(2);
  });
});

describe("a row that is committed after one of a greater id", () => {
  const filter = { event: undefined, outcome: undefined, endpointId: undefined, sessionId: undefined };
  const insert = `INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id,
      endpoint_id, url, attempt, trigger, outcome, attempted_at)
    SELECT project_id, session_key, session_id, event_id, event, webhook_id, delivery_id, endpoint_id, url, attempt, trigger,
      'rejected', now() FROM webhook_logs ORDER BY log_id LIMIT 1 RETURNING log_id AS id`;

  test("comes when it is committed, and once", async () => {
    const begin = await tailNow(server.pool);
    const late = await server.pool.connect();
    await late.query("BEGIN");
    const { rows: early } = await late.query<{ id: number }>(insert);
    const { rows: second } = await server.pool.query<{ id: number }>(insert);
    const first = await readTail(server.pool, server.projectId, filter, begin, 0);
    expect(first.items.map(({ log }) => Number(log.id))).toEqual([second[0]?.id]);
    expect((await readTail(server.pool, server.projectId, filter, first.next, 1_000)).items).toEqual([]);
    await late.query("COMMIT");
    late.release();
    const next = await readTail(server.pool, server.projectId, filter, first.next, 2_000);
    expect(next.items.map(({ log }) => Number(log.id))).toEqual([early[0]?.id]);
    expect((await readTail(server.pool, server.projectId, filter, next.next, 3_000)).items).toEqual([]);
  });

  test("an id that never comes is forgotten in time, and a great gap is not looked for as a whole", () => {
    const start = { max: 10, skipped: new Map<number, number>() };
    const gap = positionAfter(start, [13], 0);
    expect([...gap.skipped.keys()]).toEqual([11, 12]);
    const found = positionAfter(gap, [11], 1_000);
    expect([found.max, ...found.skipped.keys()]).toEqual([13, 12]);
    expect(positionAfter(found, [], 24_000).skipped.size).toBe(1);
    expect(positionAfter(found, [], 25_000).skipped.size).toBe(0);
    const great = positionAfter(start, [10_000_000], 0);
    expect(great.skipped.size).toBe(1_000);
    expect([...great.skipped.keys()].at(-1)).toBe(9_999_999);
  });
});
