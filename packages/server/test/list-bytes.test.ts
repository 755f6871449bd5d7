// What a list sends is bounded in bytes, whatever stands in its rows: by PostgreSQL, and to the client.
import { randomUUID } from "node:crypto";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { ListedSession, SessionDetail, SessionsPage } from "@sendoff/contract";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { pageBytesMax } from "../src/database/page-bytes.ts";
import { createPool } from "../src/database/pool.ts";
import { listSessions } from "../src/lifecycle/list.ts";
import { createLog } from "../src/log.ts";
import { ensureLogPartitions } from "../src/logbook/partitions.ts";
import { bytesUsed } from "./memory.ts";

let server: TestServer;
const mib = 1024 * 1024;
const largeBytes = 250_000;

interface Owned {
  readonly id: string;
  readonly key: string;
}
let large: Owned;
let middling: Owned;
let looped: Owned;

async function projectOf(name: string): Promise<Owned> {
  return (await server.api("POST", "/v1/projects", { name }, server.developerKey)).body.data;
}

/** Sessions with variables of one length: `call-1` is the newest. */
const insert = (project: Owned, count: number, bytes: number, variables: string | null): Promise<unknown> =>
  server.pool.query(
    `INSERT INTO sessions (project_id, session_id, version, channel, created_at, current_node_id, messages_count,
       extracted_variables, variables, deadline_at)
     SELECT $1, 'call-' || number, 1, 'call', now() - number * interval '1 minute', 'n', number,
       '{"a":"' || repeat('x', $3 - 20 - length(number::text)) || ' end ' || number || '"}', $4, now() + interval '1 hour'
     FROM generate_series(1, $2::int) AS number`,
    [project.id, count, bytes, variables],
  );

beforeAll(async () => {
  server = await startTestServer();
  [large, middling, looped] = [
    await projectOf("Large"),
    await projectOf("Middling"),
    await projectOf("Loop"),
  ];
  await insert(large, 520, largeBytes, null);
  await insert(middling, 600, 4_000, JSON.stringify({ b: "y".repeat(3_900) }));
});
afterAll(() => server.stop());

const get = (project: Owned, path: string) =>
  server.api("GET", `/v1/projects/${project.id}${path}`, undefined, project.key);

/** Every page of a list of sessions. */
async function walk(project: Owned, query: string) {
  const pages: Array<{ text: string; page: SessionsPage }> = [];
  for (let cursor: string | null = ""; cursor !== null; ) {
    const answer = await get(project, `/sessions?${query}${cursor === "" ? "" : `&cursor=${cursor}`}`);
    expect(answer.status, answer.text).toBe(200);
    const page = SessionsPage.parse(answer.body);
    pages.push({ text: answer.text, page });
    cursor = page.nextCursor;
    if (pages.length > 200) throw new Error("the list does not end");
  }
  return pages;
}
const idsOf = (pages: ReadonlyArray<{ page: SessionsPage }>): string[] =>
  pages.flatMap(({ page }) => page.data.map(({ sessionId }) => sessionId));
const everyId = (count: number): string[] => Array.from({ length: count }, (_, n) => `call-${n + 1}`);

describe("a list of sessions", () => {
  test("leaves large variables out, says how large they are, and one session has them whole", async () => {
    const pages = await walk(large, "limit=500");
    expect(idsOf(pages)).toEqual(everyId(520));
    for (const { text } of pages) expect(text.length).toBeLessThan(1.1 * mib);
    const [first] = pages[0]?.page.data ?? [];
    expect(ListedSession.parse(first)).toMatchObject({ extractedVariables: null, variables: null });
    const one = SessionDetail.parse((await get(large, "/sessions/call-1")).body.data);
    const bytes = JSON.stringify(one.extractedVariables).length;
    expect(bytes).toBeGreaterThan(0.99 * largeBytes);
    expect(first?.omitted).toEqual([{ field: "extractedVariables", bytes }]);
  });

  test("ends a page by its bytes and goes on behind it, and has small variables whole", async () => {
    const pages = await walk(middling, "limit=500");
    expect(idsOf(pages)).toEqual(everyId(600));
    expect(pages.length).toBeGreaterThan(4);
    for (const { text, page } of pages) {
      expect(text.length).toBeLessThan(1.1 * pageBytesMax);
      for (const session of page.data) {
        expect(session.omitted).toBeUndefined();
        expect(session.extractedVariables).toEqual({ a: expect.stringMatching(/x end \d+$/) });
      }
    }
    // No page is much shorter than it might be.
    for (const { text } of pages.slice(0, -1)) expect(text.length).toBeGreaterThan(0.8 * pageBytesMax);
  });

  test.each([
    ["large", "end 51", 11],
    ["middling", "x end 5", 111],
    ["middling", "call-17", 11],
  ])(
    "of %s ones with the text %j ends its pages in the same way, and says how far it has come",
    async (which, text, found) => {
      const pages = await walk(
        which === "large" ? large : middling,
        `limit=500&text=${encodeURIComponent(text)}`,
      );
      expect(idsOf(pages)).toHaveLength(found);
      expect(new Set(idsOf(pages)).size).toBe(found);
      for (const { text: answer, page } of pages) {
        expect(answer.length).toBeLessThan(1.1 * pageBytesMax);
        expect(page.searchedBackTo).toBeDefined();
      }
    },
  );

  test("by page and pageSize has as many as were asked for, and their variables while there is room", async () => {
    const answer = await get(middling, "/sessions?page=1&pageSize=500");
    const page = SessionsPage.parse(answer.body);
    expect(page.pagination).toEqual({ page: 1, totalPages: 2, total: 600 });
    expect(page.data.map(({ sessionId }) => sessionId)).toEqual(everyId(500));
    const whole = page.data.filter(({ omitted }) => omitted === undefined);
    expect(whole.length).toBeGreaterThan(100);
    expect(whole.map(({ sessionId }) => sessionId)).toEqual(everyId(whole.length));
    expect(page.data.at(-1)?.omitted?.map(({ field }) => field)).toEqual(["extractedVariables", "variables"]);
    expect(answer.text.length).toBeLessThan(2 * mib);
    const few = SessionsPage.parse((await get(large, "/sessions?page=2&pageSize=3")).body);
    for (const session of few.data) expect(session.omitted).toBeUndefined();
    expect(JSON.stringify(few).length).toBeGreaterThan(3 * 0.99 * largeBytes);
  });

  test("takes no more from PostgreSQL than it answers", async () => {
    const streams: Socket[] = [];
    const pool = createPool({ connectionString: server.database.url }, createLog("silent"));
    pool.on("connect", (client) => {
      streams.push((client as unknown as { connection: { stream: Socket } }).connection.stream);
    });
    const received = (): number => streams.reduce((sum, { bytesRead }) => sum + bytesRead, 0);
    for (const query of [{}, { text: "end 5" }, { page: 1, pageSize: 500 }]) {
      const before = received();
      await listSessions(pool, large.id, { limit: 500, ...query });
      expect(received() - before).toBeLessThan(1.5 * mib);
      expect(received() - before).toBeGreaterThan(1_000);
    }
    await pool.end();
  });

  test("as CSV has everything, read some at a time", async () => {
    const { page } = (await walk(large, "limit=41"))[0] ?? {};
    const answer = await get(large, `/sessions.csv?from=${page?.data[39]?.createdAt}`);
    expect(answer.text.length).toBeGreaterThan(40 * 0.99 * largeBytes);
    expect([...answer.text.matchAll(/^call-\d+,/gm)].map(([id]) => id.slice(0, -1))).toEqual(everyId(40));
  });
});

describe("lists of attempts", () => {
  const endpointId = randomUUID();
  const url = `https://example.com/${"p".repeat(2_000)}`;
  const attempts = 3_000;

  beforeAll(async () => {
    await ensureLogPartitions(server.pool);
    await insert(looped, 1, 100, null);
    await server.pool.query(
      `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, timeout_ms)
       VALUES ($1, $2, 'project', $3, 'sealed', 10000)`,
      [endpointId, looped.id, url],
    );
    await server.pool.query(
      `INSERT INTO webhook_logs (project_id, session_key, session_id, event_id, event, webhook_id, delivery_id, endpoint_id,
         url, attempt, trigger, outcome, response_status, duration_ms, attempted_at, logged_at, settled_as)
       SELECT $1, session_key, session_id, 1, 'session.ended', 'msg_1', number, $2, $3, number, 'resend', 'delivered', 200, 5,
         now() - (5000 - number) * interval '1 millisecond', now(), 'delivered'
       FROM sessions, generate_series(1, $4::int) AS number WHERE project_id = $1`,
      [looped.id, endpointId, url, attempts],
    );
  });

  test.each(["", "&sessionId=call-1"])("end a page by its bytes%s and go on behind it", async (filter) => {
    const seen: number[] = [];
    for (let cursor: string | null = ""; cursor !== null; ) {
      const at = cursor === "" ? "" : `&cursor=${cursor}`;
      const answer = await get(looped, `/webhook-logs?limit=500${filter}${at}`);
      expect(answer.text.length).toBeLessThan(1.1 * pageBytesMax);
      expect(Object.keys(answer.body.data[0])).not.toContain("candidates");
      seen.push(...answer.body.data.map(({ attempt }: { attempt: number }) => attempt));
      cursor = answer.body.nextCursor;
    }
    expect(seen).toEqual(Array.from({ length: attempts }, (_, n) => attempts - n));
  });

  test("a session's timeline has the newest of very many, and says that there are more", async () => {
    const answer = await get(looped, "/sessions/call-1");
    const { timeline } = SessionDetail.parse(answer.body.data);
    expect(answer.text.length).toBeLessThan(2.5 * mib);
    expect(timeline.attemptsCut).toBe(true);
    const shown = timeline.attempts.map(({ attempt }) => attempt);
    expect(shown.length).toBeGreaterThan(300);
    expect(shown).toEqual(Array.from(shown, (_, n) => attempts - shown.length + n + 1));
    await server.pool.query("DELETE FROM webhook_logs WHERE project_id = $1 AND attempt > 5", [looped.id]);
    const few = SessionDetail.parse((await get(looped, "/sessions/call-1")).body.data).timeline;
    expect(few.attemptsCut).toBe(false);
    expect(few.attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5]);
  });
});

describe("answers that nobody reads", () => {
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  /** Sends a request and reads nothing of its answer. */
  async function askUnread(path: string): Promise<void> {
    const { hostname, port } = new URL(server.apiUrl);
    const options = { port: Number(port), host: hostname, highWaterMark: 1 };
    const socket = connect(options as NetConnectOpts);
    sockets.push(socket);
    socket.pause();
    await new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.write(
        `GET /v1/projects/${large.id}${path} HTTP/1.1\r\nhost: sendoff\r\nauthorization: Bearer ${large.key}\r\n\r\n`,
        resolve,
      );
    });
    socket.on("error", () => {});
  }

  test.each(["/sessions?limit=500", "/sessions?page=1&pageSize=500", "/sessions.csv"])(
    "of %s hold little memory, and another project is answered",
    async (path) => {
      const before = bytesUsed();
      for (let n = 0; n < 24; n++) await askUnread(path);
      let most = 0;
      for (let n = 0; n < 20; n++) {
        expect((await get(middling, "/sessions?limit=20")).status).toBe(200);
        if (n % 7 === 5) most = Math.max(most, bytesUsed() - before);
      }
      console.log(`24 unread ${path}: ${(most / mib).toFixed(1)} MiB`);
      expect(most).toBeLessThan(100 * mib);
      for (const socket of sockets) socket.destroy();
      await until("an export is taken again", async () => {
        const { status } = await get(large, "/sessions.csv?to=2020-01-01T00:00:00Z");
        return status === 200;
      });
    },
  );
});
