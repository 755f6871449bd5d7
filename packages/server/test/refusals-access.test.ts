import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type ApiAnswer, expectRefused, sendRaw } from "./refused.ts";

let server: TestServer;
/** A second project of the installation. */
let other: { id: string; key: string };
const project = (id = server.projectId): string => `/v1/projects/${id}`;
const unknownProject = "00000000-0000-4000-8000-000000000000";

beforeAll(async () => {
  server = await startTestServer();
  other = (await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey)).body.data;
});
afterAll(() => server.stop());

const get = (path: string, ...lines: string[]): Promise<ApiAnswer> =>
  sendRaw(
    server.apiUrl,
    `GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`,
  );

describe("keys", () => {
  test("without a key the answer is 401 missing_key and says how to send one", async () => {
    expectRefused(await get("/v1/projects"), "missing_key", "Authorization: Bearer dk_");
    expectRefused(await get(`${project()}/agent`), "missing_key", "sk_");
  });

  test("a key in the query string does not count, whatever the parameter is called", async () => {
    for (const name of ["key", "api_key", "token", "access_token", "authorization"]) {
      expectRefused(await get(`/v1/projects?${name}=${server.developerKey}`), "missing_key");
    }
  });

  test.each<[what: string, header: (key: string) => string]>([
    ["nothing", () => ""],
    ["the key alone", (key) => key],
    ["another scheme", (key) => `Basic ${Buffer.from(`:${key}`).toString("base64")}`],
    ["Bearer alone", () => "Bearer "],
    ["a wrong tail", (key) => `Bearer ${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`],
    ["a letter less", (key) => `Bearer ${key.slice(0, -1)}`],
    ["a letter more", (key) => `Bearer ${key}A`],
    ["another prefix", (key) => `Bearer pk_${key.slice(3)}`],
    ["the other prefix", (key) => `Bearer dk_${key.slice(3)}`],
    ["two keys", (key) => `Bearer ${key} ${key}`],
    ["two keys and a comma", (key) => `Bearer ${key}, Bearer ${key}`],
    ["10 KB", () => `Bearer sk_${"a".repeat(10_000)}`],
    ["what would break a query", () => "Bearer sk_' OR 1=1 --"],
  ])("an Authorization header with %s is 401 wrong_key", async (_what, header) => {
    const answer = await get(`${project()}/agent`, `authorization: ${header(server.projectKey)}`);
    expectRefused(answer, "wrong_key", "Authorization header", "begins with dk_ or sk_");
    expect(answer.text).not.toContain(server.projectKey.slice(3));
  });

  test("two Authorization headers are 401, also when both hold the same right key", async () => {
    const line = (key: string): string => `authorization: Bearer ${key}`;
    const both = [line(server.projectKey), line(server.developerKey)];
    expectRefused(await get(`${project()}/agent`, ...both), "wrong_key");
    expectRefused(await get(`${project()}/agent`, ...both.reverse()), "wrong_key");
    expectRefused(
      await get(`${project()}/agent`, line(server.projectKey), line(server.projectKey)),
      "wrong_key",
    );
    expect((await get(`${project()}/agent`, line(server.projectKey))).status).toBe(200);
  });

  test("a revoked key is 401", async () => {
    const { key } = (await server.api("POST", "/v1/projects", { name: "Short" }, server.developerKey)).body
      .data;
    await server.pool.query(
      "UPDATE api_keys SET revoked_at = now() WHERE project_id = (SELECT project_id FROM projects WHERE name = 'Short')",
    );
    expectRefused(await server.api("GET", "/v1/projects", undefined, key), "wrong_key");
  });
});

describe("projects", () => {
  test("only a developer key makes one", async () => {
    const answer = await server.api("POST", "/v1/projects", { name: "Third" });
    expectRefused(answer, "developer_key_needed", "developer key (dk_...)", "project's key (sk_...)");
    const { body } = await server.api("GET", "/v1/projects", undefined, server.developerKey);
    expect(body.data.map(({ name }: { name: string }) => name)).not.toContain("Third");
  });

  test("a project's key lists that project alone", async () => {
    const { body } = await server.api("GET", "/v1/projects", undefined, other.key);
    expect(body.data).toEqual([{ id: other.id, name: "Other", createdAt: expect.any(String) }]);
  });

  test.each(["", " ", "x".repeat(201), 7, null])("one is not called %j", async (name) => {
    expectRefused(
      await server.api("POST", "/v1/projects", { name }, server.developerKey),
      "invalid_body",
      "name",
    );
  });

  test("one that does not exist and one that is another's are refused alike, with sk_ and with dk_", async () => {
    const strange = [
      await server.api("GET", `${project(unknownProject)}/agent`),
      await server.api("GET", `${project(other.id)}/agent`),
      await server.api("GET", `${project(unknownProject)}/agent`, undefined, server.developerKey),
    ];
    for (const answer of strange) expectRefused(answer, "project_not_found", "that this key may see");
    const shapes = strange.map(({ text }) => text.replace(unknownProject, "ID").replace(other.id, "ID"));
    expect(new Set(shapes).size).toBe(1);
    expect(
      (await server.api("GET", `${project(other.id)}/agent`, undefined, server.developerKey)).status,
    ).toBe(200);
  });

  test.each(["x", "..", "%00", "1' OR '1'='1", `${unknownProject}0`])(
    "the id %j is 404, never 500",
    async (id) => {
      for (const key of [server.projectKey, server.developerKey])
        expectRefused(
          await server.api("GET", `/v1/projects/${encodeURIComponent(id)}/agent`, undefined, key),
          id === ".." ? "route_not_found" : "project_not_found",
        );
    },
  );

  test("an id in capitals is answered at once: refused, or taken for the same project", async () => {
    const path = `${project(server.projectId.toUpperCase())}/sessions/capital-1`;
    const response = await fetch(`${server.apiUrl}${path}`, {
      method: "PATCH",
      headers: { authorization: `Bearer ${server.developerKey}`, "content-type": "application/json" },
      body: '{"messagesCount":1}',
      signal: AbortSignal.timeout(3_000),
    });
    expect([200, 404]).toContain(response.status);
    const seen = await server.api("GET", `${project()}/sessions/capital-1`);
    expect(seen.status).toBe(response.status);
  });

  test("every route of a project refuses another project's key with 404, and nothing is written", async () => {
    const routes: Array<[method: string, path: string, body?: object]> = [
      ["GET", "/agent"],
      ["PUT", "/agent", { name: "mine" }],
      ["PATCH", "/agent", { name: "mine" }],
      ["POST", "/sessions", { channel: "call" }],
      ["GET", "/sessions"],
      ["GET", "/sessions/s-1"],
      ["PATCH", "/sessions/s-1", {}],
      ["POST", "/sessions/s-1/conversation-ended", {}],
      ["POST", "/sessions/s-1/call-ended", { callStatus: "error", callDuration: 0 }],
      ["POST", "/sessions/s-1/recording-processed", { success: false }],
      ["POST", "/reports", [] as object],
      ["GET", "/webhook-logs"],
      ["GET", "/webhook-logs/1"],
    ];
    for (const [method, path, body] of routes) {
      expectRefused(
        await server.api(method, project() + path, body, other.key),
        "project_not_found",
        server.projectId,
      );
    }
    expect((await server.pool.query("SELECT FROM sessions")).rowCount).toBe(0);
    expect((await server.api("GET", `${project()}/agent`)).body.data.name).not.toBe("mine");
  });
});

describe("paths", () => {
  test.each(["/v1", "/v2/projects", "/v1/project", "/v1/projects/", "/favicon.ico", "/v1/projects/x/agents"])(
    "there is nothing at %s",
    async (path) => {
      expectRefused(await server.api("GET", path), "route_not_found", `GET ${path}`);
    },
  );

  test.each([
    ["PUT", "/sessions", ["GET", "POST"]],
    ["DELETE", "/sessions/s-1/call-ended", ["POST"]],
    ["GET", "/sessions/s-1/call-ended", ["POST"]],
    ["POST", "/agent", ["GET", "PATCH", "PUT"]],
    ["OPTIONS", "/agent", ["GET", "PATCH", "PUT"]],
    ["PATCH", "/webhook-logs", ["GET"]],
  ])("%s %s is 405 with Allow", async (method, path, allowed) => {
    const answer = await server.api(method, project() + path);
    expectRefused(answer, "method_not_allowed", `${method} is not for this path`, ...allowed);
    expect(answer.headers.get("allow")?.split(", ").sort()).toEqual(allowed);
  });

  test.each([
    ["OPTIONS", "OPTIONS *"],
    ["CONNECT", "CONNECT example.com:443"],
  ])("P14: %s of no path is 405 with every method in Allow", async (method, line) => {
    const request = `${line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`;
    const answer = await sendRaw(server.apiUrl, request);
    expectRefused(answer, "method_not_allowed", method);
    expect(answer.headers.get("allow")).toBe("GET, HEAD, POST, PUT, PATCH, DELETE");
  });

  test("TRACE is 405 and gives nothing back of what was sent", async () => {
    const request = `TRACE ${project()}/agent HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-secret: abc\r\n\r\n`;
    const answer = await sendRaw(server.apiUrl, request);
    expectRefused(answer, "method_not_allowed", "TRACE");
    expect(answer.text).not.toContain("abc");
  });

  test.each(["a%20b", "a%2Fb", "%00", "%ff", "%", "a%0a", "%F0%9F%98%80", "a".repeat(129), "a+b", "a@b"])(
    "the session's id %j in a path is 422",
    async (id) => {
      const given = id.length > 60 ? "129 characters" : "given";
      for (const [method, path, body] of [
        ["GET", "", undefined],
        ["PATCH", "", {}],
        ["POST", "/call-ended", { callStatus: "error", callDuration: 0 }],
      ] as const) {
        const answer = await server.api(method, `${project()}/sessions/${id}${path}`, body);
        expectRefused(answer, "invalid_path", "1 to 128 characters of A-Z a-z 0-9 . _ : -", given);
      }
    },
  );

  test("the longest session's id, of each kind of character, is taken", async () => {
    const id = `Az09._:-${"x".repeat(120)}`;
    expect((await server.api("PATCH", `${project()}/sessions/${id}`, {})).status).toBe(200);
    expect((await server.api("GET", `${project()}/sessions/${id}`)).body.data.sessionId).toBe(id);
  });
});

describe("queries", () => {
  const cursor = (...parts: unknown[]): string => Buffer.from(JSON.stringify(parts)).toString("base64url");

  test.each<[list: string, query: string, ...said: string[]]>([
    ["/sessions", "chanel=call", "chanel: unknown field; did you mean channel?"],
    ["/sessions", "outcome=delivered", "outcome: unknown field"],
    ["/sessions", "channel=sms", 'channel: expected one of call, text; given "sms"'],
    ["/sessions", "callStatus=hungUp", 'given "hungUp"'],
    ["/sessions", "state=done", "expected one of open, ending, finalized"],
    ["/sessions", "limit=0", 'limit: expected 1 or more; given "0"'],
    ["/sessions", "limit=501", "limit", "500"],
    ["/sessions", "limit=many", 'limit: expected a number; given "many"'],
    ["/sessions", "page=0", 'page: expected 1 or more; given "0"'],
    ["/sessions", "pageSize=501", "pageSize"],
    ["/sessions", "from=yesterday", "from: expected a moment in ISO 8601", 'given "yesterday"'],
    ["/sessions", "text=", "text"],
    ["/sessions", "text=%00", "text: expected text without NUL"],
    ["/sessions", "limit=1&limit=2", '"limit" more than once', "expected it once"],
    ["/sessions", "cursor=abc&page=1", "expected either cursor, or page and pageSize"],
    ["/sessions", "cursor=abc&pageSize=1", "expected either cursor, or page and pageSize"],
    ["/sessions", "cursor=abc", "nextCursor of the page before"],
    ["/sessions", `cursor=${cursor()}`, "nextCursor"],
    ["/sessions", `cursor=${cursor(1)}`, "nextCursor"],
    ["/sessions", `cursor=${cursor("2026-05-03T08:42:11.512000Z", "x")}`, "nextCursor"],
    ["/sessions", `cursor=${cursor("2026-99-99T99:99:99.000000Z", 1)}`, "nextCursor"],
    ["/sessions", `cursor=${cursor("now() --", 1)}`, "nextCursor"],
    ["/sessions", `cursor=${"a".repeat(513)}`, "cursor"],
    ["/webhook-logs", "event=session.ended,call.endd", "event[1]: expected one of", 'given "call.endd"'],
    ["/webhook-logs", "outcome=lost", "outcome[0]: expected one of delivered"],
    ["/webhook-logs", "endpointId=first", "endpointId", 'given "first"'],
    ["/webhook-logs", "sessionId=a%20b", "sessionId: expected 1 to 128 characters"],
    ["/webhook-logs", "session=s-1", "session: unknown field; did you mean"],
    ["/webhook-logs", `cursor=${cursor("1; DROP TABLE x")}`, "nextCursor"],
    ["/webhook-logs", `cursor=${cursor(1, 2, 3)}`, "nextCursor"],
  ])("%s?%s is 422", async (list, query, ...said) => {
    expectRefused(await server.api("GET", `${project()}${list}?${query}`), "invalid_query", ...said);
  });

  test("every moment that is taken can be asked for, far from today and with any offset", async () => {
    for (const at of ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-01-01T00:00:00+23:59"]) {
      for (const list of ["/sessions", "/webhook-logs"]) {
        const query = `from=${encodeURIComponent(at)}&to=${encodeURIComponent(at)}`;
        const answer = await server.api("GET", `${project()}${list}?${query}`);
        expect(answer.status, answer.text).toBe(200);
        expect(answer.body.data).toEqual([]);
      }
    }
  });
});
