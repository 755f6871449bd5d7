import { randomUUID } from "node:crypto";
import { MissingEvent } from "@sendoff/contract";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Received, type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { examinedMax } from "../src/outbox/reconcile.ts";

const events = ["session.ended", "call.ended", "session.finalized", "recording.ready"];
type Pair = readonly [sessionId: string, event: string];
interface Missing {
  readonly sessionId: string;
  readonly event: string;
  readonly webhookId: string;
  readonly timestamp: string;
  readonly state: string | null;
  readonly resent: boolean;
}

let server: TestServer;
let sink: Sink;
const url = (path: string): string => `/v1/projects/${server.projectId}${path}`;
const keyOf = ([sessionId, event]: Pair): string => `${sessionId} ${event}`;
const pairOf = ({ json }: Received): Pair => [json.sessionId, json.event];
const anHourAgo = (): string => new Date(Date.now() - 3_600_000).toISOString();
const inAnHour = (): string => new Date(Date.now() + 3_600_000).toISOString();

beforeAll(async () => {
  server = await startTestServer();
  sink = await startSink();
  await server.api("PATCH", url("/agent"), { postSessionWebhook: { url: sink.url, events } });
});
afterAll(async () => {
  await server.stop();
  await sink.close();
});

/** A generator of numbers from 0 to 1 that gives the same ones for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const conversation = { currentNodeId: "a", messagesCount: 1, extractedVariables: {} };

/** Reports of `calls` calls with four events each, and of `texts` text sessions with two each. */
function reportsOf(prefix: string, calls: number, texts: number): object[] {
  const call = (number: number): object[] => {
    const sessionId = `${prefix}-call-${number}`;
    return [
      { type: "conversation-ended", sessionId, channel: "call", ...conversation },
      { type: "call-ended", sessionId, callStatus: "userHangup", callDuration: 3 },
      { type: "recording-processed", sessionId, success: false },
    ];
  };
  const text = (number: number): object => {
    return {
      type: "conversation-ended",
      sessionId: `${prefix}-text-${number}`,
      channel: "text",
      ...conversation,
    };
  };
  return [
    ...Array.from({ length: calls }, (_, number) => call(number)).flat(),
    ...Array.from({ length: texts }, (_, number) => text(number)),
  ];
}

async function report(reports: readonly object[]): Promise<void> {
  for (let at = 0; at < reports.length; at += 1_000) {
    const answer = await server.api("POST", url("/reports"), reports.slice(at, at + 1_000));
    expect(answer.body.data.filter(({ status }: { status: number }) => status !== 200)).toEqual([]);
  }
}

const settled = (): Promise<void> =>
  until(
    "nothing is owed",
    async () => (await server.pool.query("SELECT FROM deliveries LIMIT 1")).rowCount === 0,
    60_000,
  );

/** Asks page by page until there is no more. */
async function reconcile(question: object): Promise<{ missing: Missing[]; pages: number }> {
  const missing: Missing[] = [];
  let cursor: string | undefined;
  for (let pages = 1; ; pages++) {
    const { status, body, text } = await server.api("POST", url("/reconcile"), {
      ...question,
      ...(cursor === undefined ? {} : { cursor }),
    });
    expect(status, text).toBe(200);
    missing.push(...body.data);
    if (body.nextCursor === null) return { missing, pages };
    cursor = body.nextCursor;
  }
}

test("reconcile finds exactly the 137 events that a receiver lost out of 10,000, and resends only these, in order", async () => {
  const from = anHourAgo();
  await report(reportsOf("many", 2_000, 1_000));
  await settled();
  expect(sink.received.length).toBe(10_000);
  const to = inAnHour();

  // The receiver answered 2xx to all and lost some: five whole calls, and others at random.
  const random = seeded(137);
  const lost = new Set<string>();
  for (let number = 0; number < 5; number++) {
    for (const event of events) lost.add(keyOf([`many-call-${number * 300}`, event]));
  }
  while (lost.size < 137) {
    const at = Math.floor(random() * sink.received.length);
    lost.add(keyOf(pairOf(sink.received[at] as Received)));
  }
  const first = sink.received.slice();
  const held = first.map(pairOf).filter((pair) => !lost.has(keyOf(pair)));
  expect(held.length).toBe(9_863);

  const asked = await reconcile({ from, to, held, limit: 50 });
  expect(asked.pages).toBe(3);
  expect(asked.missing.map(({ sessionId, event }) => keyOf([sessionId, event])).sort()).toEqual(
    [...lost].sort(),
  );
  for (const missing of asked.missing) expect(missing).toMatchObject({ state: "delivered", resent: false });
  expect(MissingEvent.safeParse(asked.missing[0]).error).toBeUndefined();
  const times = asked.missing.map(({ timestamp }) => timestamp);
  expect(times).toEqual(times.toSorted());

  const sent = await reconcile({ from, to, held, resend: true });
  expect(sent.missing.map(({ webhookId }) => webhookId)).toEqual(
    asked.missing.map(({ webhookId }) => webhookId),
  );
  expect(sent.missing.every(({ resent, state }) => resent && state === "pending")).toBe(true);
  await settled();
  const again = sink.received.slice(10_000);
  expect(again.map((received) => keyOf(pairOf(received))).sort()).toEqual([...lost].sort());
  const before = new Map(first.map((received) => [keyOf(pairOf(received)), received]));
  for (const received of again) {
    const original = before.get(keyOf(pairOf(received)));
    expect(received.body).toBe(original?.body);
    expect(received.headers).toMatchObject({
      "webhook-id": original?.headers["webhook-id"],
      "sendoff-trigger": "resend",
      "sendoff-attempt": "2",
    });
  }
  for (let number = 0; number < 5; number++) {
    const ofCall = again.map(pairOf).filter(([sessionId]) => sessionId === `many-call-${number * 300}`);
    expect(ofCall.map(([, event]) => event).filter((event) => event !== "recording.ready")).toEqual(
      events.slice(0, 3),
    );
  }
  const all = [...held, ...again.map(pairOf)];
  expect(await reconcile({ from, to, held: all })).toEqual({ missing: [], pages: 1 });
});

describe("reconcile", () => {
  test("asks about the window alone, from its beginning up to but not with its end", async () => {
    await report(reportsOf("window", 0, 1));
    await settled();
    const { missing } = await reconcile({ from: anHourAgo(), to: inAnHour(), held: [] });
    const [ended, finalized] = missing.filter(({ sessionId }) => sessionId === "window-text-0");
    const at = Date.parse(ended?.timestamp ?? "");
    const moment = (ms: number): string => new Date(at + ms).toISOString();
    const namesIn = async (from: number, to: number): Promise<string[]> =>
      (await reconcile({ from: moment(from), to: moment(to), held: [] })).missing.map(({ event }) => event);
    expect(finalized?.timestamp).toBe(ended?.timestamp);
    expect(await namesIn(0, 1)).toEqual(["session.ended", "session.finalized"]);
    expect(await namesIn(-1, 0)).toEqual([]);
    expect(await namesIn(1, 60_000)).toEqual([]);
  });

  test("shows what is still under way without sending it a second time", async () => {
    await server.api("PATCH", url("/agent"), {
      postSessionWebhook: {
        url: "http://127.0.0.1:1/",
        events,
        delivery: { retries: { attempts: 5, window: "1h" } },
      },
    });
    const from = new Date().toISOString();
    await report(reportsOf("open", 0, 1));
    const question = { from, to: inAnHour(), held: [], resend: true };
    await until("it waits for its retry", async () => {
      const { rowCount } = await server.pool.query(
        "SELECT FROM webhook_logs WHERE session_id = 'open-text-0'",
      );
      return rowCount === 1;
    });
    const { missing } = await reconcile(question);
    expect(missing.map(({ event, state, resent }) => [event, state, resent])).toEqual([
      ["session.ended", "pending", false],
      ["session.finalized", "pending", false],
    ]);
    const { rows } = await server.pool.query("SELECT trigger FROM deliveries");
    expect(rows.map(({ trigger }) => trigger)).toEqual(["live", "live"]);
    await server.pool.query("DELETE FROM deliveries");
    // As after retention: nothing is known of how it ended, and it can be sent all the same.
    await server.pool.query("DELETE FROM webhook_logs WHERE session_id = 'open-text-0'");
    await server.api("PATCH", url("/agent"), { postSessionWebhook: { url: sink.url, events } });
    expect((await reconcile({ ...question, resend: false })).missing.map(({ state }) => state)).toEqual([
      null,
      null,
    ]);
    const before = sink.received.length;
    await reconcile(question);
    await settled();
    expect(sink.received.slice(before).map(({ json }) => json.event)).toEqual([
      "session.ended",
      "session.finalized",
    ]);
  });

  test("tells nothing of events that were not owed to the endpoint, of another project, or of a removed endpoint", async () => {
    await server.api("PATCH", url("/agent"), { postSessionWebhook: { url: sink.url } });
    const from = new Date().toISOString();
    await report(reportsOf("narrow", 1, 0));
    await settled();
    const question = { from, to: inAnHour(), held: [] };
    const { missing } = await reconcile(question);
    expect(missing.map(({ event }) => event)).toEqual(["session.ended"]);

    const [log] = (await server.api("GET", url("/webhook-logs?limit=1"))).body.data;
    const other = (await server.api("POST", "/v1/projects", { name: "other" }, server.developerKey)).body
      .data;
    const refused = async (body: object, path: string, key?: string) => {
      const answer = await server.api("POST", path, body, key);
      return [answer.status, answer.body.error.code];
    };
    const foreign = `/v1/projects/${other.id}/reconcile`;
    expect(await refused(question, foreign, other.key)).toEqual([409, "no_webhook"]);
    expect(await refused({ ...question, endpointId: log.endpointId }, foreign, other.key)).toEqual([
      404,
      "endpoint_not_found",
    ]);
    expect(await refused({ ...question, endpointId: randomUUID() }, url("/reconcile"))).toEqual([
      404,
      "endpoint_not_found",
    ]);
    await server.api("PATCH", url("/agent"), { postSessionWebhook: null });
    expect(await refused({ ...question, endpointId: log.endpointId }, url("/reconcile"))).toEqual([
      404,
      "endpoint_not_found",
    ]);
    await server.api("PATCH", url("/agent"), { postSessionWebhook: { url: sink.url, events } });
    expect(await reconcile(question)).toEqual({ missing: [], pages: 1 });
  });

  test("looks at so many events a page and no more: a page may be empty while there are others", async () => {
    const { rows } = await server.pool.query<{ id: string }>(
      "SELECT endpoint_id AS id FROM endpoints WHERE removed_at IS NULL AND project_id = $1",
      [server.projectId],
    );
    // Events that were owed to nobody, and behind them one that was.
    await server.pool.query(
      `WITH old AS (
         SELECT session_key, timestamptz '2020-01-01T00:00:00Z' + number * interval '1 second' AS at, number
         FROM (SELECT session_key, row_number() OVER () - 1 AS number FROM (
           SELECT -generate_series(1, $2::int) AS session_key) AS keys) AS numbered
       ), stored AS (
         INSERT INTO sessions (session_key, project_id, session_id, version, created_at, current_node_id, messages_count,
           extracted_variables, deadline_at)
         OVERRIDING SYSTEM VALUE
         SELECT session_key, $1, 'old-' || number, 1, at, 'a', 0, '{}', 'infinity' FROM old)
       INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason, owed_to)
       SELECT session_key, $1, 'session.ended', 'msg_' || number, '{}', at,
         CASE WHEN number = $2 - 1 THEN 1 ELSE 0 END, CASE WHEN number < $2 - 1 THEN 'not_subscribed' END,
         CASE WHEN number = $2 - 1 THEN ARRAY[$3::uuid] ELSE '{}' END FROM old`,
      [server.projectId, examinedMax + 1, rows[0]?.id],
    );
    const question = { from: "2020-01-01T00:00:00Z", to: "2020-12-31T00:00:00Z", held: [] };
    const page = await server.api("POST", url("/reconcile"), question);
    expect(page.body.data).toEqual([]);
    expect(page.body.nextCursor).not.toBeNull();
    const { missing, pages } = await reconcile(question);
    expect(missing.map(({ sessionId }) => sessionId)).toEqual([`old-${examinedMax}`]);
    expect(pages).toBe(2);
  });

  test.each([
    [{ to: "2020-01-01T00:00:00Z" }, "to"],
    [{ from: "yesterday" }, "from"],
    [{ held: [["a b", "session.ended"]] }, "held[0][0]"],
    [{ held: [["a", "session.over"]] }, "held[0][1]"],
    [{ held: [["a"]] }, "held[0]"],
    [{ held: Array.from({ length: 10_001 }, () => ["a", "session.ended"]) }, "held"],
    [{ limit: 1_001 }, "limit"],
    [{ endpointId: "x" }, "endpointId"],
    [{ resent: true }, "resent"],
  ])("says what is wrong with %j", async (wrong, path) => {
    const answer = await server.api("POST", url("/reconcile"), {
      from: anHourAgo(),
      to: inAnHour(),
      held: [],
      ...wrong,
    });
    expect(answer.status, answer.text).toBe(422);
    expect(answer.body.error.details[0].path).toBe(path);
  });

  test("refuses a cursor that is none", async () => {
    const answer = await server.api("POST", url("/reconcile"), {
      ...{ from: anHourAgo(), to: inAnHour(), held: [], cursor: "x" },
    });
    expect([answer.status, answer.body.error.code]).toEqual([422, "invalid_body"]);
  });
});
