import { randomUUID } from "node:crypto";
import type { FeedEvent } from "@sendoff/contract";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { placeAudio } from "../../../test/audio.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { numberBehindStored } from "../src/feed/restored.ts";
import { expectRefused } from "./refused.ts";

let server: TestServer;
let feed: string;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

interface Page {
  readonly data: FeedEvent[];
  readonly nextCursor: string;
  readonly caughtUp: boolean;
}

/** A project of its own with its key. */
async function newProject(): Promise<{ id: string; key: string }> {
  const made = await server.api("POST", "/v1/projects", { name: "feed" }, server.developerKey);
  feed = `/v1/projects/${made.body.data.id}/events`;
  return { id: made.body.data.id, key: made.body.data.key };
}

/** Transactions that a test keeps open itself. */
let open = 0;

/**
 * Waits until all that was committed is shown. Other tests share the PostgreSQL, and a transaction of theirs that has
 * begun before holds the feed back until it ends.
 */
async function allIsShown(): Promise<void> {
  await until("no transaction is open that began before the last event", async () => {
    const { rows } = await server.pool.query(
      `SELECT feed_position(pg_snapshot_xmin(pg_current_snapshot())) > coalesce(max(transaction_number), 0) AS so
       FROM events WHERE transaction_number < 4000000000`,
    );
    return rows[0].so;
  });
}

async function read(query = ""): Promise<Page> {
  if (open === 0) await allIsShown();
  const answer = await server.api("GET", `${feed}?${query}`, undefined, server.developerKey);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}

/** Pulls until nothing more is there. */
async function readAll(query = "", cursor?: string): Promise<{ items: FeedEvent[]; cursor: string }> {
  const items: FeedEvent[] = [];
  let at = cursor;
  for (let pages = 0; pages < 200; pages++) {
    const page = await read(`${at === undefined ? query : `${query}&cursor=${at}`}`);
    items.push(...page.data);
    at = page.nextCursor;
    if (page.caughtUp) return { items, cursor: at };
  }
  throw new Error("the feed does not end");
}

const endChat = (projectId: string, sessionId: string, extractedVariables: object = {}): Promise<unknown> =>
  server.api(
    "POST",
    `/v1/projects/${projectId}/sessions/${sessionId}/conversation-ended`,
    { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables },
    server.developerKey,
  );

/** A session and one event of it, as lifecycle/apply.ts and outbox/append.ts would write them. */
async function insertEvent(client: pg.ClientBase, projectId: string, name: string): Promise<void> {
  await client.query(
    `WITH made AS (
       INSERT INTO sessions (project_id, session_id, version, created_at, current_node_id, messages_count,
         extracted_variables, deadline_at)
       VALUES ($1, $2, 1, now(), 'start', 0, '{}', now() + interval '1 hour') RETURNING session_key)
     INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason)
     SELECT session_key, $1, 'session.ended', $2, '{"event":"session.ended"}', clock_timestamp(), 0, 'no_endpoint'
     FROM made`,
    [projectId, name],
  );
}

async function insertMany(projectId: string, count: number, event = "session.ended"): Promise<void> {
  await server.pool.query(
    `WITH made AS (
       INSERT INTO sessions (project_id, session_id, version, created_at, current_node_id, messages_count,
         extracted_variables, deadline_at)
       SELECT $1, $3 || '-' || number || '-' || gen_random_uuid(), 1, now(), 'start', 0, '{}', now() + interval '1 hour'
       FROM generate_series(1, $2::int) AS number RETURNING session_key)
     INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason)
     SELECT session_key, $1, $3, 'msg_' || session_key, '{"event":"x"}', clock_timestamp(), 0, 'no_endpoint'
     FROM made`,
    [projectId, count, event],
  );
}

/** Runs `work` with a transaction of its own open; the transaction is undone unless it was committed. */
async function withOpen(work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
  const client = await server.pool.connect();
  open += 1;
  try {
    await client.query("BEGIN");
    await work(client);
  } finally {
    open -= 1;
    await client.query("ROLLBACK");
    client.release();
  }
}

const names = (items: readonly FeedEvent[]): string[] => items.map((item) => item.webhookId);

describe("the feed by pages", () => {
  test("it has every event of the project, oldest first, as it was sent, and goes on where it was left", async () => {
    const { id } = await newProject();
    const empty = await read();
    expect(empty).toMatchObject({ data: [], caughtUp: true });
    await endChat(id, "a", { n: 1 });
    const first = await read("limit=1");
    expect(first.data.map(({ event }) => event)).toEqual(["session.ended"]);
    expect(first.caughtUp).toBe(false);
    const second = await read(`cursor=${first.nextCursor}`);
    expect(second.data.map(({ event, sessionId }) => [event, sessionId])).toEqual([
      ["session.finalized", "a"],
    ]);
    expect(second).toMatchObject({ caughtUp: true, nextCursor: second.data[0]?.id });
    await endChat(id, "b");
    expect((await readAll("", second.nextCursor)).items.map((item) => item.sessionId)).toEqual(["b", "b"]);
    expect((await readAll("", empty.nextCursor)).items.length).toBe(4);
    const { rows } = await server.pool.query(
      `SELECT webhook_id AS "webhookId", payload, emitted_at AS at FROM events WHERE project_id = $1 ORDER BY event_id`,
      [id],
    );
    const all = (await readAll()).items;
    expect(names(all)).toEqual(rows.map((row) => row.webhookId));
    expect(all.map((item) => item.payload)).toEqual(rows.map((row) => JSON.parse(row.payload)));
    expect(all.map((item) => item.emittedAt)).toEqual(rows.map((row) => row.at.toISOString()));
  });

  test("P6: numbers and keys that JavaScript cannot hold come out as they came in", async () => {
    const { id } = await newProject();
    const variables =
      '{"__proto__":{"admin":true},"n":9007199254740993,"big":1e400,"2":1,"1":2,"nul":"\\u0000\\ud800"}';
    await server.api(
      "POST",
      `/v1/projects/${id}/sessions/odd/conversation-ended`,
      `{"channel":"text","currentNodeId":"a","messagesCount":1,"extractedVariables":${variables}}`,
      server.developerKey,
    );
    await allIsShown();
    const answer = await server.api("GET", feed, undefined, server.developerKey);
    expect(answer.text.split(`"extractedVariables":${variables}`).length).toBe(3);
  });

  test("names, a session and a moment narrow it", async () => {
    const { id } = await newProject();
    await endChat(id, "a");
    const middle = new Date(Date.now() + 1).toISOString();
    await until("the clock has moved on", () => new Date().toISOString() > middle);
    await endChat(id, "b");
    expect((await readAll("event=session.finalized")).items.map((item) => item.sessionId)).toEqual([
      "a",
      "b",
    ]);
    expect((await readAll("sessionId=b")).items.map((item) => item.event)).toEqual([
      "session.ended",
      "session.finalized",
    ]);
    expect((await readAll("sessionId=nobody")).items).toEqual([]);
    expect((await readAll(`from=${middle}`)).items.map((item) => item.sessionId)).toEqual(["b", "b"]);
    expect((await readAll("from=2020-01-01T00:00:00Z")).items.length).toBe(4);
    expect((await readAll("from=2120-01-01T00:00:00Z")).items).toEqual([]);
    const now = await read("from=now");
    expect(now).toMatchObject({ data: [], caughtUp: true });
    await endChat(id, "c");
    expect((await readAll("", now.nextCursor)).items.map((item) => item.sessionId)).toEqual(["c", "c"]);
  });

  test("from finds the first event of a moment among thousands, several of one transaction among them", async () => {
    const { id } = await newProject();
    await insertMany(id, 3_000);
    await server.pool.query(
      `UPDATE events SET transaction_number = place / 7, emitted_at = timestamptz '2026-01-01Z' + interval '1 minute' * place
       FROM (
         SELECT event_id, row_number() OVER (ORDER BY event_id) - 1 AS place FROM events WHERE project_id = $1) AS placed
       WHERE events.event_id = placed.event_id`,
      [id],
    );
    for (const minute of [0, 1, 1_499, 2_998, 2_999]) {
      const from = new Date(Date.parse("2026-01-01T00:00:00Z") + minute * 60_000).toISOString();
      const page = await read(`limit=1&from=${from}`);
      expect(page.data[0]?.emittedAt).toBe(from);
    }
  });

  test("a rare name is found by reads of bounded size, page by page", async () => {
    const { id } = await newProject();
    await insertMany(id, 5_200);
    await insertMany(id, 1, "call.ended");
    const page = await read("event=call.ended");
    expect(page).toMatchObject({ data: [], caughtUp: false });
    expect((await read(`event=call.ended&cursor=${page.nextCursor}`)).data.length).toBe(1);
  });

  test("a page holds about a mebibyte, and always one event", async () => {
    const { id } = await newProject();
    for (const name of ["a", "b", "c", "d"]) await endChat(id, name, { text: "x".repeat(200_000) });
    const page = await read();
    expect(page.data.length).toBe(5);
    expect(page.caughtUp).toBe(false);
    expect((await readAll()).items.length).toBe(8);
    await server.pool.query(
      "UPDATE events SET payload = '\"' || repeat('x', 3000000) || '\"' WHERE project_id = $1",
      [id],
    );
    expect((await read()).data.length).toBe(1);
    expect(new Set((await readAll()).items.map((item) => item.id)).size).toBe(8);
  });

  test("a recording.ready has a link that works, minted when it is read", async () => {
    const { id } = await newProject();
    const objectKey = `projects/${id}/sessions/r/audio.ogg`;
    const path = `/v1/projects/${id}/sessions/r/recording-processed`;
    await placeAudio(server.dataFolder, objectKey);
    await server.api("POST", path, { success: true, objectKey }, server.developerKey);
    const payload = (await read()).data[0]?.payload as { success: boolean; recordingUrl: string };
    const link = payload.recordingUrl.slice(server.apiUrl.length);
    expect((await server.api("GET", link, undefined, "")).headers.get("content-type")).toBe("audio/wav");
  });

  test("M2: another project's key reads nothing, and a cursor of one project shows nothing of another", async () => {
    const one = await newProject();
    await endChat(one.id, "secret");
    const { cursor } = await readAll();
    const other = await newProject();
    const foreign = await server.api("GET", `/v1/projects/${one.id}/events`, undefined, other.key);
    const unknown = await server.api("GET", `/v1/projects/${randomUUID()}/events`, undefined, other.key);
    expectRefused(foreign, "project_not_found");
    expect(foreign.body.error.message.replace(one.id, "")).toBe(
      unknown.body.error.message.replace(/[0-9a-f-]{36}/, ""),
    );
    expect((await readAll("", cursor)).items).toEqual([]);
    expect((await readAll("sessionId=secret")).items).toEqual([]);
  });

  test.each([
    ["cursor=x", "cursor"],
    [`cursor=${Buffer.from("[1]").toString("base64url")}`, "cursor"],
    [`cursor=${Buffer.from("[1,1,1,1]").toString("base64url")}`, "cursor"],
    ["from=yesterday", "expected now, or a moment"],
    ["from=now&cursor=x", "either cursor or from"],
    ["event=session.over", "event"],
    ["limit=0", "limit"],
    ["after=1", "unknown"],
  ])("the query %s is refused", async (query, part) => {
    await newProject();
    const answer = await server.api("GET", `${feed}?${query}`, undefined, server.developerKey);
    expectRefused(answer, "invalid_query", part);
  });
});

describe("the order of the feed", () => {
  test("a reader by ids loses an event that is committed after a later one; the feed does not", async () => {
    const { id } = await newProject();
    const byId = async (after: number): Promise<Array<{ id: number; name: string }>> =>
      (
        await server.pool.query(
          `SELECT event_id AS id, webhook_id AS name FROM events WHERE project_id = $1 AND event_id > $2
           ORDER BY event_id`,
          [id, after],
        )
      ).rows;
    let naive = await byId(0);
    let ours = await readAll();
    const naiveSaw: string[] = [];
    const oursSaw: string[] = [];
    const look = async (): Promise<void> => {
      naive = await byId(naive.at(-1)?.id ?? 0);
      naiveSaw.push(...naive.map((row) => row.name));
      ours = await readAll("", ours.cursor);
      oursSaw.push(...names(ours.items));
    };
    await withOpen(async (slow) => {
      await insertEvent(slow, id, "first-begun");
      await insertEvent(server.pool as unknown as pg.ClientBase, id, "first-committed");
      await look();
      expect(oursSaw, "what may still be overtaken is not shown").toEqual([]);
      await slow.query("COMMIT");
    });
    await look();
    expect(naiveSaw).toEqual(["first-committed"]);
    expect(oursSaw).toEqual(["first-begun", "first-committed"]);
  });

  test("many writers at once: a reader that pulls all the time gets every event once", async () => {
    const { id } = await newProject();
    let writing = 8;
    const writers = Array.from({ length: writing }, async (_, writer) => {
      for (let n = 0; n < 25; n++) {
        await withOpen(async (client) => {
          await insertEvent(client, id, `w${writer}-${n}`);
          await client.query("SELECT pg_sleep(random() * 0.01)");
          await client.query("COMMIT");
        });
      }
      writing -= 1;
    });
    const saw: string[] = [];
    let cursor: string | undefined;
    await until("all events were read", async () => {
      const page = await readAll("limit=7", cursor);
      saw.push(...names(page.items));
      cursor = page.cursor;
      return writing === 0 && saw.length >= 200;
    });
    await Promise.all(writers);
    expect(saw.length).toBe(200);
    expect(new Set(saw).size).toBe(200);
  });

  test("a transaction that writes something else holds it back for seconds only", async () => {
    const { id } = await newProject();
    await withOpen(async (other) => {
      await other.query("CREATE TEMPORARY TABLE elsewhere (n int) ON COMMIT DROP");
      await other.query("INSERT INTO elsewhere SELECT 1");
      await insertEvent(server.pool as unknown as pg.ClientBase, id, "behind-it");
      expect((await read()).data).toEqual([]);
      await until("the event is shown", async () => (await read()).data.length === 1);
      // Not this one: it may still add an event with a smaller number.
      await withOpen(async (writer) => {
        await insertEvent(writer, id, "open");
        await insertEvent(server.pool as unknown as pg.ClientBase, id, "behind-a-writer");
        await until("it has waited for longer than it waits for others", async () => {
          expect(names((await read()).data)).toEqual(["behind-it"]);
          return (await gauge("sendoff_feed_held_back_seconds")) > 2;
        });
        await writer.query("COMMIT");
      });
      await until("all are shown", async () => (await read()).data.length === 3);
      expect(names((await read()).data)).toEqual(["behind-it", "open", "behind-a-writer"]);
    });
  });

  test("after a restore into a PostgreSQL with lower numbers new events still come last", async () => {
    const { id } = await newProject();
    await insertMany(id, 3);
    await server.pool.query("UPDATE events SET transaction_number = 4000000000 WHERE project_id = $1", [id]);
    expect((await read()).data).toEqual([]);
    expect(await numberBehindStored(server.pool)).toBe(true);
    expect(await numberBehindStored(server.pool)).toBe(false);
    // A transaction of the server's own that was open just now holds the horizon for a moment.
    await until("the feed goes on", async () => (await readAll()).items.length === 3);
    const { cursor } = await readAll();
    await insertMany(id, 1);
    await until("the new one is read", async () => (await readAll("", cursor)).items.length === 1);
    expect(await numberBehindStored(server.pool)).toBe(false);
  });

  test("a page is an index scan, however many events there are", async () => {
    const { id } = await newProject();
    await insertMany(id, 20_000);
    await server.pool.query("ANALYZE events");
    const { rows } = await server.pool.query(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT event_id FROM events
       WHERE project_id = $1 AND transaction_number < $2 AND (transaction_number, event_id) > ($3, 0)
       ORDER BY transaction_number, event_id LIMIT 100`,
      [id, "9000000000000", "1"],
    );
    const plan = JSON.stringify(rows[0]);
    expect(plan).toContain('"Index Name":"events_feed"');
    expect(plan).not.toContain("Sort");
  });
});

async function gauge(name: string): Promise<number> {
  const { text } = await server.api("GET", "/metrics");
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
}
