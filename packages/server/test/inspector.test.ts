import { createHash } from "node:crypto";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { json } from "node:stream/consumers";
import { Kysely, PostgresDialect } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTestDatabase, emptyTables } from "../../../test/database.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { up as hideSecrets } from "../src/database/migrations/0025-inspector-secrets.ts";
import { createInspector } from "../src/inspector/inspector.ts";
import { createRequestKeeper, keptBytesMax } from "../src/inspector/keep.ts";
import { postedBytesMax } from "../src/inspector/limits.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const mebi = 1024 * 1024;
const tokenOf = (url: string): string => new URL(url).pathname.slice("/inspect/".length);
const hashOf = (token: string): string => createHash("sha256").update(token).digest("base64url");
const post = (url: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(url, { method: "POST", body, headers });
const read = async (
  url: string,
): Promise<Array<{ id: string; headers: Record<string, string>; body: string }>> =>
  ((await (await fetch(url)).json()) as { data: never[] }).data;

/** An inspector of a project of its own. */
async function newInspector(): Promise<{ url: string; project: string; key: string }> {
  const { body } = await server.api("POST", "/v1/projects", { name: "p" }, server.developerKey);
  const token = await createInspector(server.pool, body.data.id);
  return { url: `${server.apiUrl}/inspect/${token}`, project: body.data.id, key: body.data.key };
}

/** A post of so many bytes, of which none is sent. */
function begin(url: string, bytes: number): ClientRequest {
  const headers = { "content-length": String(bytes) };
  const begun = request(url, { method: "POST", headers, agent: false }).on("error", () => {});
  begun.flushHeaders();
  return begun;
}

/** Requests of so many bytes at an inspector, past its limits. */
const fill = (url: string, count: number, bytes: number, character = "<") =>
  server.pool.query(
    `INSERT INTO inspector_requests (inspector_id, headers, body)
     SELECT inspector_id, '{}', convert_to(repeat($2, $3), 'UTF8') FROM inspectors, generate_series(1, $4)
     WHERE token_hash = $1`,
    [createHash("sha256").update(tokenOf(url)).digest(), character, bytes, count],
  );

describe("what an inspector keeps of a request", () => {
  test("are the names of its headers, and values only where they are no secret; others are masked", async () => {
    const { url } = await newInspector();
    await post(url, "{}", {
      authorization: "Bearer a-long-token",
      cookie: "id=abcdefghij",
      "x-short": "secret12",
      "content-type": "application/json",
      "webhook-id": "msg_1",
    });
    const [kept] = await read(url);
    expect(kept?.headers).toMatchObject({
      authorization: "••••oken",
      cookie: "••••ghij",
      "x-short": "••••",
      "content-type": "application/json",
      "content-length": "2",
      "webhook-id": "msg_1",
    });
    const { rows } = await server.pool.query<{ text: string }>(
      "SELECT headers AS text FROM inspector_requests",
    );
    for (const secret of ["a-long-token", "abcdefghij", "secret12"])
      expect(rows.every(({ text }) => !text.includes(secret))).toBe(true);
  });

  test("has a bound in bytes, and the oldest go first", async () => {
    await emptyTables(server.pool, "inspector_requests");
    const { url } = await newInspector();
    const { rows } = await server.pool.query<{ id: string }>(
      "SELECT inspector_id AS id FROM inspectors WHERE token_hash = $1",
      [createHash("sha256").update(tokenOf(url)).digest()],
    );
    await fill(url, keptBytesMax / mebi, mebi);
    const keeper = createRequestKeeper(server.pool);
    const arrival = { inspectorId: rows[0]?.id ?? "", headers: "{}", webhookId: "" };
    for (let n = 0; n < 20; n += 4) {
      const some = [0, 1, 2, 3].map((more) => Buffer.alloc(mebi, 65 + n + more));
      await Promise.all(some.map((body) => keeper.keep({ ...arrival, body })));
    }
    const kept = await server.pool.query<{ bytes: string; old: number; fresh: number }>(
      `SELECT sum(octet_length(body)) AS bytes, count(*) FILTER (WHERE get_byte(body, 0) = 60) AS old,
         count(*) FILTER (WHERE get_byte(body, 0) >= 65) AS fresh
       FROM inspector_requests`,
    );
    const { bytes, old, fresh } = kept.rows[0] ?? expect.fail();
    // It looks after each 4 MiB.
    expect(Number(bytes)).toBeLessThanOrEqual(keptBytesMax + 4 * mebi);
    expect(old).toBeGreaterThanOrEqual(keptBytesMax / mebi - 21);
    expect(fresh).toBe(20);
  });
});

describe("what an inspector answers", () => {
  test("ends by its bytes, and the cursor goes on where it ended", async () => {
    const { url, project, key } = await newInspector();
    await fill(url, 5, 400_000);
    const pages: number[] = [];
    const ids = new Set<string>();
    for (let after = "0"; ; ) {
      const page = await read(`${url}?after=${after}&limit=1000`);
      const last = page.at(-1);
      if (last === undefined) break;
      after = last.id;
      pages.push(page.length);
      for (const { id } of page) ids.add(id);
    }
    expect([pages, ids.size]).toEqual([[2, 2, 1], 5]);
    const ofProject: number[] = [];
    for (let cursor = ""; ; ) {
      const path = `/v1/projects/${project}/inspector-requests?limit=200${cursor}`;
      const { body } = await server.api("GET", path, undefined, key);
      ofProject.push(body.data.length);
      if (body.nextCursor === null) break;
      cursor = `&cursor=${body.nextCursor}`;
    }
    expect(ofProject).toEqual([2, 2, 1]);
  });

  test("has the one request that is larger than a page", async () => {
    const { url } = await newInspector();
    await fill(url, 2, mebi);
    expect((await read(url)).map(({ body }) => body.length)).toEqual([mebi]);
  });

  test("as a page shows the beginning of each body, and makes nobody wait: 50 bodies of 1 MiB to escape", async () => {
    const { url } = await newInspector();
    await fill(url, 50, mebi);
    await fetch(url, { headers: { accept: "text/html" } });
    const before = process.cpuUsage();
    const answer = await fetch(url, { headers: { accept: "text/html" } });
    const text = await answer.text();
    const { user, system } = process.cpuUsage(before);
    const cpuMs = (user + system) / 1_000;
    console.log(`a page of ${text.length} characters took ${Math.round(cpuMs)} ms of processor time`);
    expect(text.match(/<article>/g)?.length).toBe(50);
    expect(text).toContain(`The first 4096 of ${mebi} bytes.`);
    expect(text).toContain("&lt;&lt;");
    expect(text.length).toBeLessThan(50 * 5 * 4_096);
    // Of all threads, the collector among them. Without the bound on what is shown it was many seconds.
    expect(cpuMs).toBeLessThan(1_500);
  });
});

describe("the address of an inspector", () => {
  test("that a webhook has takes posts and reads nothing; the token that reads stands in no table", async () => {
    await emptyTables(server.pool, "inspector_requests");
    const path = `/v1/projects/${server.projectId}`;
    const token = tokenOf(server.inspectorUrl);
    const posts = `${server.apiUrl}/inspect/${hashOf(token)}`;
    const agent = await server.api("PATCH", `${path}/agent`, {
      postSessionWebhook: { url: server.inspectorUrl },
    });
    expect(agent.body.data.postSessionWebhook.url).toBe(posts);
    const ended = { channel: "text", currentNodeId: "x", messagesCount: 1, extractedVariables: {} };
    await server.api("POST", `${path}/sessions/inspected/conversation-ended`, ended);
    const arrived = async () =>
      (await read(server.inspectorUrl)).some(({ body }) => body.includes("inspected"));
    await until("the event has arrived", arrived);
    await until(
      "it is logged",
      async () => (await server.pool.query("SELECT FROM webhook_logs")).rowCount === 1,
    );
    expect((await post(posts, "{}")).status).toBe(200);
    expect((await post(server.inspectorUrl, "{}")).status).toBe(200);
    for (const accept of ["application/json", "text/html"]) {
      const refused = await fetch(posts, { headers: { accept } });
      expect([refused.status, await refused.text()]).toEqual([
        404,
        expect.stringContaining("takes posts only"),
      ]);
    }
    for (const table of ["endpoints", "webhook_logs", "inspectors", "inspector_requests"]) {
      const { rows } = await server.pool.query<{ row: string }>(`SELECT t::text AS row FROM ${table} AS t`);
      expect(rows.length, table).toBeGreaterThan(0);
      expect(
        rows.filter(({ row }) => row.includes(token)),
        table,
      ).toEqual([]);
    }
  });

  test("of an installation of before is stored anew, and what its inspectors have got is masked", async () => {
    const database = await createTestDatabase();
    const project = "00000000-0000-4000-8000-000000000001";
    await database.pool.query("INSERT INTO projects (project_id, name) VALUES ($1, 'p')", [project]);
    const token = await createInspector(database.pool, project);
    const other = "x".repeat(32);
    for (const [n, url] of [
      `http://127.0.0.1:4600/inspect/${token}`,
      `https://a.example.com/inspect/${other}`,
    ].entries())
      await database.pool.query(
        `INSERT INTO endpoints (endpoint_id, project_id, kind, url, secret_sealed, timeout_ms)
         VALUES (gen_random_uuid(), $1, $2, $3, 's', 1000)`,
        [project, n === 0 ? "agent" : "project", url],
      );
    const headers = {
      host: "h:1",
      authorization: "Bearer a-long-token",
      "x-short": "12345678",
      "webhook-id": "msg_1",
    };
    for (const text of [JSON.stringify(headers), "{}"])
      await database.pool.query(
        "INSERT INTO inspector_requests (inspector_id, headers, body) SELECT inspector_id, $1, '' FROM inspectors",
        [text],
      );
    const { pool } = database;
    const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
    await hideSecrets(db);
    const urls = await pool.query("SELECT url FROM endpoints ORDER BY kind");
    expect(urls.rows.map(({ url }) => url)).toEqual([
      `http://127.0.0.1:4600/inspect/${hashOf(token)}`,
      `https://a.example.com/inspect/${other}`,
    ]);
    const kept = await pool.query("SELECT headers FROM inspector_requests ORDER BY request_id");
    expect(kept.rows.map((row) => JSON.parse(row.headers))).toEqual([
      { host: "h:1", authorization: "••••oken", "x-short": "••••", "webhook-id": "msg_1" },
      {},
    ]);
    await database.drop();
  });
});

describe("the limits of an inspector", () => {
  test("are its own: one that gets more than it takes refuses it, and another one takes all", async () => {
    const [flooded, other] = [await newInspector(), await newInspector()];
    const many = postedBytesMax / mebi + 8;
    // Counted before a body is read, and so whatever becomes of it.
    const begun = Array.from({ length: many }, () => begin(flooded.url, mebi));
    const refused: IncomingMessage[] = [];
    for (const one of begun) one.on("response", (answer: IncomingMessage) => refused.push(answer));
    await until("those that are too many are refused", () => refused.length === 8);
    expect(refused.map(({ statusCode }) => statusCode)).toEqual(Array.from({ length: 8 }, () => 429));
    expect(Number(refused[0]?.headers["retry-after"])).toBeGreaterThan(0);
    expect(await json(refused[0] as IncomingMessage)).toMatchObject({ error: { code: "rate_limited" } });
    expect((await post(other.url, Buffer.alloc(mebi, "<"))).status).toBe(200);
    for (const one of begun) one.destroy();
    const { text } = await server.api("GET", "/metrics", undefined, "");
    expect(text).toMatch(/sendoff_requests_limited_total\{limit="inspector"\} [1-9]/);
  });

  test("wrong tokens of an address are counted as wrong keys are; a right one is taken, also one that was never seen", async () => {
    const limited = await startTestServer({ SENDOFF_WRONG_KEY_LIMIT: "5" });
    const guess = async (n: number) => (await fetch(`${limited.apiUrl}/inspect/guess-${n}`)).status;
    const statuses = [];
    for (let n = 0; n < 8; n++) statuses.push(await guess(n));
    expect(statuses).toEqual([404, 404, 404, 404, 404, 429, 429, 429]);
    expect((await post(limited.inspectorUrl, "{}")).status).toBe(200);
    expect(await guess(9)).toBe(429);
    await limited.stop();
  });
});
