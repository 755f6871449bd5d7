import type { Server } from "node:http";
import { connect, type Socket } from "node:net";
import type { FeedEvent } from "@sendoff/contract";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { systemClock } from "../src/clock.ts";
import { readConfig } from "../src/config.ts";
import { createFeed, type FeedStreams } from "../src/feed/feed.ts";
import { createStreams, type StreamLimits, streamLimits } from "../src/feed/streams.ts";
import { createApp } from "../src/http/app.ts";
import { closeHttp, listenHttp, localUrl } from "../src/http/listen.ts";
import { createRequestBounds } from "../src/http/request-bounds.ts";
import { createRequestLimits } from "../src/http/request-limits.ts";
import { eventRoutes } from "../src/http/routes/events.ts";
import { createLog } from "../src/log.ts";
import { createMetrics } from "../src/metrics.ts";
import { createKeyRing } from "../src/tenancy/keys.ts";
import { createDashboardSessions } from "../src/tenancy/sign-in.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const ends: Array<() => unknown> = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

interface Project {
  readonly id: string;
  readonly key: string;
}

async function newProject(): Promise<Project> {
  const made = await server.api("POST", "/v1/projects", { name: "feed" }, server.developerKey);
  return { id: made.body.data.id, key: made.body.data.key };
}

const endChat = (project: Project, sessionId: string, at = server): Promise<{ status: number }> =>
  at.api(
    "POST",
    `/v1/projects/${project.id}/sessions/${sessionId}/conversation-ended`,
    { channel: "text", currentNodeId: "bye", messagesCount: 2, extractedVariables: { sessionId } },
    project.key,
  );

/** One message of a stream, by the rules of server-sent events. */
interface Message {
  readonly id: string;
  readonly event: string;
  readonly data: FeedEvent;
}

interface Reader {
  readonly status: number;
  readonly headers: Headers;
  readonly messages: Message[];
  comments: number;
  /** The server ended it in good order. */
  ended: boolean;
  leave(): void;
}

/** Opens a stream and reads it as it comes. */
async function openStream(
  project: Project,
  query = "",
  options: { lastEventId?: string; apiUrl?: string } = {},
): Promise<Reader> {
  const gone = new AbortController();
  ends.push(() => gone.abort());
  const url = `${options.apiUrl ?? server.apiUrl}/v1/projects/${project.id}/events?${query}`;
  const response = await fetch(url, {
    signal: gone.signal,
    headers: {
      accept: "text/event-stream",
      authorization: `Bearer ${project.key}`,
      ...(options.lastEventId === undefined ? {} : { "last-event-id": options.lastEventId }),
    },
  });
  const reader: Reader = {
    status: response.status,
    headers: response.headers,
    messages: [],
    comments: 0,
    ended: false,
    leave: () => gone.abort(),
  };
  void readAll(response, reader).catch(() => {});
  return reader;
}

async function readAll(response: Response, reader: Reader): Promise<void> {
  let rest = "";
  for await (const chunk of (response.body as ReadableStream<Uint8Array>).pipeThrough(
    new TextDecoderStream() as never,
  )) {
    rest += String(chunk);
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) take(block, reader);
  }
  reader.ended = true;
}

function take(block: string, reader: Reader): void {
  const fields = new Map<string, string>();
  for (const line of block.split("\n")) {
    if (line.startsWith(":")) reader.comments += 1;
    else fields.set(line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2));
  }
  if (!fields.has("data")) return;
  reader.messages.push({
    id: fields.get("id") ?? "",
    event: fields.get("event") ?? "",
    data: JSON.parse(fields.get("data") ?? ""),
  });
}

const keysOf = (messages: readonly Message[]): string[] =>
  messages.map(({ data }) => `${data.sessionId} ${data.event}`);

/** The feed's routes alone, with bounds of their own, on the server's database. */
async function serveFeed(
  bounds: Partial<StreamLimits>,
): Promise<{ apiUrl: string; streams: FeedStreams; http: Server; open: () => Promise<number> }> {
  const log = createLog("silent");
  const metrics = createMetrics();
  const mint = async (): Promise<{ url: string }> => ({ url: "https://example.com/" });
  const feed = createFeed({ pool: server.pool, log, metrics, clock: systemClock, mint });
  const streams = createStreams({
    feed,
    log,
    onCount: (open) => metrics.feedStreams.set(open),
    limits: { ...streamLimits, ...bounds },
  });
  const routes = eventRoutes(feed, streams);
  const limits = createRequestLimits(readConfig({}).rateLimits, metrics);
  const keys = createKeyRing(server.pool);
  const sessions = createDashboardSessions(server.pool);
  const app = createApp({
    pool: server.pool,
    log,
    keys,
    sessions,
    routes,
    limits,
    bounds: createRequestBounds(metrics),
    publicUrl: null,
  });
  const http = await listenHttp("127.0.0.1", 0, app);
  ends.push(async () => {
    await streams.drain();
    http.closeAllConnections();
    await closeHttp(http);
  });
  const open = async (): Promise<number> => (await metrics.feedStreams.get()).values[0]?.value ?? 0;
  return { apiUrl: localUrl(http), streams, http, open };
}

/** Open streams of the test server, by its metric. */
async function openStreams(): Promise<number> {
  const { text } = await server.api("GET", "/metrics");
  return Number(/^sendoff_feed_streams (\d+)$/m.exec(text)?.[1]);
}

describe("the feed as a stream", () => {
  test("it begins with the oldest event and goes on with those that come, framed as server-sent events", async () => {
    const project = await newProject();
    await endChat(project, "before");
    const reader = await openStream(project);
    expect(reader.status).toBe(200);
    expect(reader.headers.get("content-type")).toContain("text/event-stream");
    expect(reader.headers.get("cache-control")).toBe("no-store");
    await until("what was there came", () => reader.messages.length === 2);
    await endChat(project, "after");
    await until("what happened then came", () => reader.messages.length === 4);
    expect(keysOf(reader.messages)).toEqual([
      "before session.ended",
      "before session.finalized",
      "after session.ended",
      "after session.finalized",
    ]);
    const pages = await server.api("GET", `/v1/projects/${project.id}/events`, undefined, project.key);
    expect(reader.messages.map(({ data }) => data)).toEqual(pages.body.data);
    for (const { id, event, data } of reader.messages) expect([id, event]).toEqual([data.id, data.event]);
  });

  test("an event comes within a moment of its commit, also when no delivery is owed and nothing tells of it", async () => {
    const project = await newProject();
    const reader = await openStream(project, "from=now");
    await endChat(project, "quick");
    await until("it came", () => reader.messages.length === 2, 10_000);
  });

  test("Last-Event-ID goes on right behind that event, whatever the address says: nothing lost, nothing twice", async () => {
    const project = await newProject();
    const saw: string[] = [];
    let lastEventId: string | undefined;
    let writing = true;
    const writer = (async () => {
      for (let n = 0; n < 60; n++) await endChat(project, `s${n}`);
      writing = false;
    })();
    while (writing || saw.length < 120) {
      const reader = await openStream(
        project,
        "from=2020-01-01T00:00:00Z",
        lastEventId === undefined ? {} : { lastEventId },
      );
      await until("some more came", () => reader.messages.length >= Math.min(7, 120 - saw.length));
      reader.leave();
      const taken = reader.messages.slice(0, 7);
      saw.push(...keysOf(taken));
      lastEventId = taken.at(-1)?.id;
    }
    await writer;
    expect(saw.length).toBe(120);
    expect(new Set(saw).size).toBe(120);
  });

  test("filters hold for it, too", async () => {
    const project = await newProject();
    const finals = await openStream(project, "event=session.finalized");
    const one = await openStream(project, "sessionId=b");
    for (const name of ["a", "b", "c"]) await endChat(project, name);
    await until("they came", () => finals.messages.length === 3 && one.messages.length === 2);
    expect(keysOf(finals.messages)).toEqual(["a", "b", "c"].map((name) => `${name} session.finalized`));
    expect(keysOf(one.messages)).toEqual(["b session.ended", "b session.finalized"]);
  });

  test("a wrong cursor or Last-Event-ID is refused before the stream begins, and takes no place", async () => {
    const project = await newProject();
    const ahead = Buffer.from("[9007199254740991,1]").toString("base64url");
    for (const [lastEventId, status] of [
      ["nonsense", 422],
      [ahead, 410],
    ] as const) {
      const reader = await openStream(project, "", { lastEventId });
      expect(reader.status).toBe(status);
    }
    expect(await openStreams()).toBe(0);
  });

  test("a client that goes frees its place", async () => {
    const project = await newProject();
    const readers = await Promise.all([openStream(project), openStream(project), openStream(project)]);
    expect(await openStreams()).toBe(3);
    for (const reader of readers) reader.leave();
    await until("no stream is open", async () => (await openStreams()) === 0);
  });

  test("more streams than a project or a process may have are refused with a sentence", async () => {
    const { apiUrl, open } = await serveFeed({ perProject: 2, perProcess: 3 });
    const [one, two, three] = [await newProject(), await newProject(), await newProject()];
    await openStream(one, "", { apiUrl });
    const second = await openStream(one, "", { apiUrl });
    const refused = await fetch(`${apiUrl}/v1/projects/${one.id}/events`, {
      headers: { accept: "text/event-stream", authorization: `Bearer ${one.key}` },
    });
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "5"]);
    expect(await refused.json()).toMatchObject({
      error: {
        code: "too_many_streams",
        message: expect.stringMatching(/^This project has 2 streams .*\.$/),
      },
    });
    expect((await openStream(two, "", { apiUrl })).status).toBe(200);
    expect((await openStream(three, "", { apiUrl })).status).toBe(429);
    second.leave();
    await until("a place is free", async () => (await open()) === 2);
    expect((await openStream(three, "", { apiUrl })).status).toBe(200);
  });

  test("comments come while nothing happens, and the stream ends when its time is over", async () => {
    const { apiUrl } = await serveFeed({ heartbeatMs: 40, lifeMs: 400 });
    const reader = await openStream(await newProject(), "", { apiUrl });
    await until("it ended in good order", () => reader.ended);
    expect(reader.comments).toBeGreaterThan(2);
    expect(reader.messages).toEqual([]);
  });

  test("a client that does not read costs a page of memory and is cut", async () => {
    const project = await newProject();
    await server.pool.query(
      `WITH made AS (
         INSERT INTO sessions (project_id, session_id, version, created_at, current_node_id, messages_count,
           extracted_variables, deadline_at)
         SELECT $1, 's' || number, 1, now(), 'start', 0, '{}', now() + interval '1 hour'
         FROM generate_series(1, 120) AS number RETURNING session_key)
       INSERT INTO events (session_key, project_id, event, webhook_id, payload, emitted_at, deliveries, unsent_reason)
       SELECT session_key, $1, 'session.ended', 'msg_' || session_key, '"' || repeat('x', 500000) || '"', now(), 0,
         'no_endpoint' FROM made`,
      [project.id],
    );
    const { apiUrl, open } = await serveFeed({ unreadMaxMs: 300 });
    const socket = await silentReader(apiUrl, project);
    await until("the stream began", async () => (await open()) === 1);
    const before = process.memoryUsage().rss;
    await until("it was cut", async () => (await open()) === 0);
    // All of it would be 60 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(40_000_000);
    socket.resume();
    await until("the connection is closed", () => socket.closed);
    expect(socket.bytesRead).toBeLessThan(50_000_000);
  });

  test("a server that ends closes its streams in good order, and lets nobody in any more", async () => {
    const beside = await startTestServer({}, server);
    const project = await newProject();
    const reader = await openStream(project, "", { apiUrl: beside.apiUrl });
    await endChat(project, "x", beside);
    await until("it came", () => reader.messages.length === 2);
    const begun = performance.now();
    await beside.stop();
    expect(performance.now() - begun).toBeLessThan(5_000);
    await until("it ended in good order", () => reader.ended);
    const { apiUrl, streams } = await serveFeed({});
    await streams.drain();
    expect((await openStream(project, "", { apiUrl })).status).toBe(503);
  });

  test("the commits of its own process wake it: twenty in a row take far less than looking every 500 ms would", async () => {
    const project = await newProject();
    const reader = await openStream(project, "from=now");
    const begun = performance.now();
    for (let number = 1; number <= 20; number++) {
      await endChat(project, `quick-${number}`);
      await until("its events came", () => reader.messages.length >= 2 * number);
    }
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  test("a database that is away for a while ends no stream and loses nothing", async () => {
    const project = await newProject();
    const reader = await openStream(project, "from=now");
    await server.pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    await until("a report is taken again", async () => {
      return (await endChat(project, "again")).status === 200;
    });
    await until("its events came", () => reader.messages.length === 2);
    expect(reader.ended).toBe(false);
  });
});

/** Asks for a stream over a bare socket and reads nothing of the answer. */
async function silentReader(apiUrl: string, project: Project): Promise<Socket> {
  const { hostname, port } = new URL(apiUrl);
  const socket = connect(Number(port), hostname);
  ends.push(() => socket.destroy());
  socket.on("error", () => {});
  socket.pause();
  socket.write(
    `GET /v1/projects/${project.id}/events HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nauthorization: Bearer ${project.key}\r\n\r\n`,
  );
  return socket;
}
