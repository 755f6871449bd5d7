import type { FeedEvent } from "@sendoff/contract";
import { afterEach, describe, expect, test } from "vitest";
import { type Cluster, type Relay, startCluster, startRelay } from "../../../test/cluster.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { expectRefused } from "./refused.ts";

// Real clusters of PostgreSQL, with Sendoff's process running on while they change behind its address.

const ends: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const owned = (cluster: Cluster): Cluster => {
  ends.push(() => cluster.remove());
  return cluster;
};

interface Setting {
  readonly primary: Cluster;
  readonly relay: Relay;
  readonly server: TestServer;
}

async function start(): Promise<Setting> {
  const primary = owned(await startCluster());
  const relay = await startRelay();
  ends.push(() => relay.close());
  relay.lead(primary);
  const server = await startTestServer({ DATABASE_URL: relay.url });
  ends.push(() => server.stop());
  return { primary, relay, server };
}

/** Ends a chat, again and again until it is acknowledged; two events. */
const endChat = (server: TestServer, name: string): Promise<void> =>
  until(`${name} is acknowledged`, async () => {
    const answer = await server.api(
      "POST",
      `/v1/projects/${server.projectId}/sessions/${name}/conversation-ended`,
      {
        channel: "text",
        currentNodeId: "bye",
        messagesCount: 1,
        extractedVariables: {},
      },
    );
    return answer.status < 300;
  });

const endChats = async (server: TestServer, ...names: string[]): Promise<void> => {
  for (const name of names) await endChat(server, name);
};

const feedOf = (server: TestServer): string => `/v1/projects/${server.projectId}/events`;

interface Reading {
  readonly items: FeedEvent[];
  readonly cursor: string;
}

/** Pulls until nothing more is there, as a client does: again when PostgreSQL is away. */
async function pull(server: TestServer, cursor?: string): Promise<Reading> {
  const items: FeedEvent[] = [];
  let at = cursor;
  let caughtUp = false;
  await until("the reader has caught up", async () => {
    const query = at === undefined ? "" : `?cursor=${at}`;
    const answer = await server.api("GET", `${feedOf(server)}${query}`);
    if (answer.status === 503) return false;
    expect(answer.status, answer.text).toBe(200);
    items.push(...answer.body.data);
    at = answer.body.nextCursor;
    caughtUp = answer.body.caughtUp;
    return caughtUp;
  });
  return { items, cursor: at as string };
}

const sessionsOf = (items: readonly FeedEvent[]): string[] => items.map(({ sessionId }) => sessionId);
const twice = (...names: string[]): string[] => names.flatMap((name) => [name, name]);

/** Everything that is committed on the cluster now. */
const committed = async (cluster: Cluster): Promise<Array<{ id: string; number: number }>> =>
  (
    await cluster.query(
      `SELECT webhook_id AS id, transaction_number::float8 AS number FROM events ORDER BY transaction_number, event_id`,
    )
  ).rows;

/** Follows the live stream until the test ends, and connects again where it ended, as an EventSource does. */
function follow(server: TestServer): { readonly seen: FeedEvent[]; readonly refusals: number[] } {
  const over = new AbortController();
  const seen: FeedEvent[] = [];
  const refusals: number[] = [];
  const read = async (): Promise<void> => {
    const last = seen.at(-1)?.id;
    const answer = await fetch(server.apiUrl + feedOf(server), {
      signal: over.signal,
      headers: {
        accept: "text/event-stream",
        authorization: `Bearer ${server.projectKey}`,
        ...(last === undefined ? {} : { "last-event-id": last }),
      },
    });
    if (answer.status !== 200) refusals.push(answer.status);
    let rest = "";
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream() as never) ?? []) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) if (line.startsWith("data: ")) seen.push(JSON.parse(line.slice(6)));
    }
  };
  const reading = (async () => {
    while (!over.signal.aborted && !refusals.includes(410)) await read().catch(() => {});
  })();
  ends.push(() => {
    over.abort();
    return reading;
  });
  return { seen, refusals };
}

/** The cursor as the version before epochs gave it. */
function withoutEpoch(cursor: string): string {
  const [transaction, eventId] = JSON.parse(Buffer.from(cursor, "base64url").toString());
  return Buffer.from(JSON.stringify([transaction, eventId])).toString("base64url");
}
const transactionOf = (cursor: string): number => JSON.parse(Buffer.from(cursor, "base64url").toString())[0];

describe("a failover to an asynchronous standby that lags", () => {
  test("readers that were ahead of it get every event that it has, also on a stream that is open", async () => {
    const { primary, relay, server } = await start();
    const standby = await (await primary.backUp()).follow(primary);
    owned(standby);
    await endChats(server, "a", "b");
    const early = await pull(server);
    await standby.caughtUp();
    await standby.cutOff();
    await endChats(server, "lost-1", "lost-2", "lost-3", "lost-4", "lost-5", "lost-6");
    const ahead = await pull(server, early.cursor);
    expect(sessionsOf(ahead.items)).toContain("lost-6");
    const live = follow(server);
    await until("the stream is at the end", () => sessionsOf(live.seen).includes("lost-6"));

    relay.lead(null);
    await primary.kill();
    await standby.promote();
    relay.lead(standby);
    // Nothing is written there yet: a reader waits at the fork, not ahead of it.
    const waiting = await pull(server, ahead.cursor);
    expect(waiting.items).toEqual([]);
    expect(transactionOf(waiting.cursor)).toBeLessThan(transactionOf(ahead.cursor));
    const after = ["c", "d", "e", "f", "g", "h", "i", "j"];
    await endChats(server, ...after);
    // A cursor without an epoch that is ahead of all numbers is refused: more is written until it is not.
    let now = await committed(standby);
    while (Math.max(...now.map(({ number }) => number)) <= transactionOf(ahead.cursor)) {
      after.push(`more-${after.length}`);
      await endChats(server, ...after.slice(-1));
      now = await committed(standby);
    }
    const hidden = now.filter(({ number }) => number <= transactionOf(ahead.cursor));
    expect(hidden.length, "a reader by numbers alone would skip some").toBeGreaterThan(early.items.length);
    const before = early.items.map(({ webhookId }) => webhookId);
    for (const cursor of [ahead.cursor, withoutEpoch(ahead.cursor)]) {
      const { items } = await pull(server, cursor);
      expect([...before, ...items.map(({ webhookId }) => webhookId)]).toEqual(
        expect.arrayContaining(now.map(({ id }) => id)),
      );
    }
    for (const { cursor } of [ahead, early, waiting]) {
      expect(sessionsOf((await pull(server, cursor)).items)).toEqual(twice(...after));
    }
    await until("the stream has everything", () =>
      now.every(({ id }) => live.seen.some(({ webhookId }) => webhookId === id)),
    );
    expect(live.refusals.filter((status) => status !== 503)).toEqual([]);
  });
});

describe("a restore of an older base backup", () => {
  test("a reader of before gets what is written after it, from the fork on", async () => {
    const { primary, relay, server } = await start();
    await endChats(server, "a", "b");
    const backup = await primary.backUp();
    await endChats(server, "lost-1", "lost-2", "lost-3", "lost-4");
    const ahead = await pull(server);
    relay.lead(null);
    await primary.stop();
    const restored = owned(await backup.restore());
    relay.lead(restored);
    await endChats(server, "c", "d");
    expect(sessionsOf((await pull(server, ahead.cursor)).items)).toEqual(twice("c", "d"));
    const all = await pull(server);
    expect(sessionsOf(all.items)).toEqual(twice("a", "b", "c", "d"));
    const fork = await restored.query("SELECT count(*)::int AS epochs FROM feed_epochs");
    expect(fork.rows).toEqual([{ epochs: 2 }]);
  });

  test("a cursor of an epoch that the backup does not have is refused, and says from when to go on", async () => {
    const { primary, relay, server } = await start();
    await endChats(server, "a", "b");
    const backup = await primary.backUp();
    await primary.stop();
    await primary.start();
    await endChats(server, "lost-1", "lost-2");
    const ahead = await pull(server);
    const live = follow(server);
    await until("the stream is at the end", () => sessionsOf(live.seen).includes("lost-2"));
    relay.lead(null);
    await primary.stop();
    const restored = owned(await backup.restore());
    relay.lead(restored);
    await endChats(server, "c");
    await restored.stop();
    await restored.start();
    await endChats(server, "d");
    const refused = await server.api("GET", `${feedOf(server)}?cursor=${ahead.cursor}`);
    expectRefused(refused, "cursor_gone", "a backup was restored", "with from=");
    const from = refused.body.error.details.find(({ path }: { path: string }) => path === "from").message;
    expect(refused.body.error.message).toContain(`from=${from}`);
    const page = await server.api("GET", `${feedOf(server)}?from=${from}`);
    expect(new Set(sessionsOf(page.body.data))).toEqual(new Set(["b", "c", "d"]));
    await until("the stream has ended, and its client was refused", () => live.refusals.includes(410));
  });
});

test("a restart of PostgreSQL repeats nothing and leaves nothing out", async () => {
  const { primary, server } = await start();
  await endChats(server, "a");
  const first = await pull(server);
  await primary.stop();
  await primary.start();
  const idle = await pull(server, first.cursor);
  expect(idle.items).toEqual([]);
  await endChats(server, "b");
  for (const { cursor } of [first, idle]) {
    expect(sessionsOf((await pull(server, cursor)).items)).toEqual(twice("b"));
  }
});
