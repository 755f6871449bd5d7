import type { FeedEvent } from "@sendoff/contract";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { expectRefused } from "./refused.ts";

// What the feed makes of a cursor's epoch. What leads to other epochs is in feed-failover.test.ts.

let server: TestServer;
let feed: string;
let project: string;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  const made = await server.api("POST", "/v1/projects", { name: "feed" }, server.developerKey);
  project = `/v1/projects/${made.body.data.id}`;
  feed = `${project}/events`;
});

const api = (method: string, path: string, body?: unknown) =>
  server.api(method, path, body, server.developerKey);

const endChat = (name: string): Promise<unknown> =>
  api("POST", `${project}/sessions/${name}/conversation-ended`, {
    channel: "text",
    currentNodeId: "bye",
    messagesCount: 1,
    extractedVariables: {},
  });

interface Page {
  readonly data: FeedEvent[];
  readonly nextCursor: string;
}

/** Reads until a session has come: what others have open in the same PostgreSQL holds the feed back for a moment. */
async function read(query: string, last: string): Promise<Page> {
  let page: Page | undefined;
  await until(`${last} is read`, async () => {
    const answer = await api("GET", `${feed}?${query}`);
    expect(answer.status, answer.text).toBe(200);
    page = answer.body;
    return answer.body.data.filter(({ sessionId }: FeedEvent) => sessionId === last).length === 2;
  });
  return page as Page;
}

const partsOf = (cursor: string): number[] => JSON.parse(Buffer.from(cursor, "base64url").toString());
const cursorWith = (...parts: number[]): string => Buffer.from(JSON.stringify(parts)).toString("base64url");
const sessionsOf = ({ data }: Page): string[] => data.map(({ sessionId }) => sessionId);

test("a cursor ahead of the database or of an unknown epoch is refused, and its from leads to what is new", async () => {
  await endChat("a");
  const page = await read("", "a");
  const [, , epoch = 0] = partsOf(page.nextCursor);
  // As if another PostgreSQL had begun to write after these events, an hour after the cursor's was started.
  await server.pool.query(
    "UPDATE feed_epochs SET fork = fork + 1000000, began_at = began_at + interval '1 hour'",
  );
  const ahead = 9_000_000_000_000;
  // Of an epoch that began later than all of this database's nothing is known.
  const future = 9_000_000_000_000_000;
  const cases: Array<[number[], string, string | undefined]> = [
    [[ahead, 1], "ahead of this database", page.data.at(-1)?.emittedAt],
    [[ahead, 1, epoch], "ahead of this database", page.data.at(-1)?.emittedAt],
    [[1, 1, epoch + 1], "is of a PostgreSQL whose changes", page.data.at(-1)?.emittedAt],
    [[1, 1, future], "is of a PostgreSQL whose changes", undefined],
  ];
  for (const [parts, why, from] of cases) {
    const answer = await api("GET", `${feed}?cursor=${cursorWith(...parts)}`);
    expectRefused(answer, "cursor_gone", why, "may come again", from ?? "without cursor");
    const details = answer.body.error.details as Array<{ path: string; message: string }>;
    expect(details.find(({ path }) => path === "from")?.message, parts.join()).toBe(from);
  }
  await server.pool.query(
    "UPDATE feed_epochs SET fork = fork - 1000000, began_at = began_at - interval '1 hour'",
  );
  await endChat("b");
  expect(sessionsOf(await read(`cursor=${page.nextCursor}`, "b"))).toEqual(["b", "b"]);
});

test("a cursor of a version without epochs goes on; when it is of later than the first epoch, from there", async () => {
  await endChat("a");
  const first = await read("", "a");
  await endChat("b");
  const [transaction = 0, eventId = 0] = partsOf(first.nextCursor);
  const old = `cursor=${cursorWith(transaction, eventId)}`;
  const { rows } = await server.pool.query("SELECT fork FROM feed_epochs WHERE epoch = 1");
  const setFork = (fork: number) =>
    server.pool.query("UPDATE feed_epochs SET fork = $1 WHERE epoch = 1", [fork]);
  await setFork(transaction + 1);
  expect(sessionsOf(await read(old, "b"))).toEqual(["b", "b"]);
  await setFork(transaction);
  expect(sessionsOf(await read(old, "b"))).toEqual(["a", "a", "b", "b"]);
  await setFork(rows[0].fork);
});

test("the first transaction of an epoch notes it, and begins it before those that run already", async () => {
  await endChat("a");
  const { data } = await read("", "a");
  const earlier = await server.pool.connect();
  await earlier.query("BEGIN");
  await earlier.query("SELECT pg_current_xact_id()");
  // The row is made anew by whoever writes first, as in a PostgreSQL that has taken over.
  await server.pool.query("DELETE FROM feed_epochs");
  await Promise.all(["b", "c", "d", "e"].map(endChat));
  await earlier.query(
    `INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason)
     SELECT session_key, project_id, 'call.ended', 'msg_earlier', '{}', now(), 0, 'no_endpoint'
     FROM events WHERE webhook_id = $1`,
    [data[0]?.webhookId],
  );
  await earlier.query("COMMIT");
  earlier.release();
  const { rows } = await server.pool.query(
    `SELECT epoch, started_at = pg_postmaster_start_time() AS ours,
       fork <= (SELECT transaction_number FROM events WHERE webhook_id = 'msg_earlier') AS before
     FROM feed_epochs`,
  );
  expect(rows).toEqual([{ epoch: 1, ours: true, before: true }]);
});
