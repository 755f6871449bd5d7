// Who may call what, made from the table of routes: a route that is added is in it. Every route is asked with every kind
// of key, for what exists and what does not.
import { randomBytes, randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import type { FirstStart } from "../../../test/process.ts";
import { until } from "../../../test/until.ts";
import type { Route } from "../src/http/route.ts";
import { type RunningHere, startSendoff } from "../src/main.ts";

/** Routes that need no key. One that is added here answers nothing of a tenant, or needs a secret in its path. */
const openRoutes = [
  "GET /healthz",
  "GET /readyz",
  "GET /metrics",
  "GET /openapi.json",
  "GET /asyncapi.json",
  "GET /schemas/",
  "GET /schemas/{file}",
  "GET /docs",
  "GET /docs/style.css",
  "GET /docs/{page}",
  "GET /recordings/{objectKey+}",
  "GET /inspect/{token}",
  "POST /inspect/{token}",
  "GET /",
  "GET /dashboard",
  "GET /dashboard/",
  "GET /dashboard/{file+}",
  "POST /dashboard/session",
  "DELETE /dashboard/session",
];

let database: TestDatabase;
let dataFolder: string;
let running: RunningHere;
let apiUrl: string;
let dk: string;
/** The project whose key asks, and another. */
let own: { id: string; key: string };
let other: { id: string; key: string };
let revoked: string;

interface Asked {
  readonly status: number;
  readonly code: unknown;
  readonly text: string;
  readonly headers: string[];
  /** How often PostgreSQL was asked, for other things than the key. */
  readonly roundTrips: number;
}

/** Statements of the server in this process; with the role api none but those of requests. */
let statements = 0;
/** Those that look a key up, which happens every 500 ms for a key that is in use, whatever is asked. */
let keyLookups = 0;

async function ask(route: Route, path: string, key: string | null): Promise<Asked> {
  const before = statements;
  const hasBody = route.method !== "GET";
  const response = await fetch(apiUrl + path, {
    method: route.method,
    redirect: "manual",
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(hasBody ? { "content-type": "application/json" } : {}),
    },
    ...(hasBody ? { body: "{}" } : {}),
  });
  const text = await response.text();
  let code: unknown = null;
  try {
    code = JSON.parse(text).error?.code;
  } catch {
    // Not JSON: no code.
  }
  return {
    status: response.status,
    code,
    text,
    headers: [...response.headers.keys()].sort(),
    roundTrips: statements - before,
  };
}

beforeAll(async () => {
  database = await createTestDatabase();
  dataFolder = await mkdtemp(join(tmpdir(), "sendoff-test-matrix-"));
  const env = {
    DATABASE_URL: database.url,
    SENDOFF_DATA: dataFolder,
    SENDOFF_ALLOW_HTTP: "loopback",
    SENDOFF_LOG: "silent",
    SENDOFF_WRONG_KEY_LIMIT: "1000000",
    PORT: "0",
  };
  // Ids that no other number in an answer looks like.
  await database.pool.query("ALTER TABLE webhook_logs ALTER COLUMN log_id RESTART WITH 7000001");
  const first = await startSendoff({ role: "all", env });
  const start = first.start as FirstStart;
  dk = start.developerKey;
  const post = async (path: string, key: string, body: object, method = "POST") => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(start.apiUrl + path, { method, headers, body: JSON.stringify(body) });
    expect(answer.ok, await answer.clone().text()).toBe(true);
    return ((await answer.json()) as { data: { id: string; key: string } }).data;
  };
  own = await post("/v1/projects", dk, { name: "Own" });
  other = await post("/v1/projects", dk, { name: "Other" });
  revoked = (await post("/v1/projects", dk, { name: "Gone" })).key;
  await database.pool.query(
    "UPDATE api_keys SET revoked_at = now() WHERE project_id = (SELECT project_id FROM projects WHERE name = 'Gone')",
  );
  const postSessionWebhook = {
    url: start.inspectorUrl,
    headers: [{ key: "X-Other", value: "of-the-other-1" }],
  };
  await post(`/v1/projects/${other.id}/agent`, other.key, { postSessionWebhook }, "PATCH");
  const ended = {
    channel: "text",
    currentNodeId: "a",
    messagesCount: 1,
    extractedVariables: { of: "the-other-alone" },
  };
  await post(`/v1/projects/${other.id}/sessions/other-1/conversation-ended`, other.key, ended);
  const logged = async () => (await database.pool.query("SELECT FROM webhook_logs")).rowCount === 1;
  await until("the delivery is logged", logged);
  await first.stop();
  // The role api alone: no statement but those of requests.
  running = await startSendoff({ role: "api", env });
  apiUrl = running.start?.apiUrl ?? "";
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  vi.spyOn(pg.Client.prototype, "query").mockImplementation(function (this: pg.Client, ...args: unknown[]) {
    const { name } = args[0] as { name?: string };
    // A connection that is opened says how it wants to be served.
    if (typeof args[0] === "string" && args[0].includes("set_config(")) return query.apply(this, args);
    // Reports of before are stored for the overview when it is time to.
    if (typeof args[0] === "string" && args[0].includes("INTO tallies")) return query.apply(this, args);
    // The connection that LISTENs opens by itself, soon after the start, and serves no request.
    const { application_name: of } = (
      this as unknown as { connectionParameters: { application_name: string } }
    ).connectionParameters;
    if (of === "sendoff listen") return query.apply(this, args);
    if (name === "keys-find") keyLookups++;
    // That a key is used is noted once a minute, whatever is asked.
    else if (name === "key-used") return query.apply(this, args);
    else if (!looking) statements++;
    return query.apply(this, args);
  } as never);
});
afterAll(async () => {
  vi.restoreAllMocks();
  await running.stop();
  await database.drop();
  await rm(dataFolder, { recursive: true, force: true });
});

/** True while the test itself asks the database. */
let looking = false;
async function look<Row extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<Row[]> {
  looking = true;
  try {
    return (await database.pool.query<Row>(sql, values)).rows;
  } finally {
    looking = false;
  }
}

const nameOf = ({ method, path }: Route): string => `${method} ${path}`;
const keyed = (): Route[] => running.routes.filter(({ access }) => access !== "open");
const ofProject = (): Route[] => running.routes.filter(({ access }) => access === "project");

/** The path with values in the places of its parts; every part but projectId gets the same. */
const fill = (route: Route, projectId: string, part: string): string =>
  route.path.replace(/\{(\w+)\+?\}/g, (_all, name: string) => (name === "projectId" ? projectId : part));

const unknownEndpoint = randomUUID();
const unknownEvent = `msg_${randomUUID().replaceAll("-", "")}`;

/** Ids of things of the other project, each with one of the same kind that does not exist. */
async function strangeIds(): Promise<Array<[kind: string, foreign: string, unknown: string]>> {
  const [log] = await look<{ id: string }>(
    "SELECT log_id::text AS id FROM webhook_logs WHERE project_id = $1",
    [other.id],
  );
  const [endpoint] = await look<{ id: string }>(
    "SELECT endpoint_id::text AS id FROM endpoints WHERE project_id = $1",
    [other.id],
  );
  const [event] = await look<{ id: string; webhookId: string }>(
    `SELECT event_id::text AS id, webhook_id AS "webhookId" FROM events WHERE project_id = $1`,
    [other.id],
  );
  return [
    ["session", "other-1", "never-1"],
    ["log", log?.id ?? "", "7900001"],
    ["endpoint", endpoint?.id ?? "", unknownEndpoint],
    ["event", event?.webhookId ?? "", unknownEvent],
  ];
}

/** An answer without what it repeats of the path, and without moments. */
function without(text: string, ...parts: string[]): string {
  let rest = text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "MOMENT");
  for (const part of parts) rest = rest.replaceAll(part, "ID");
  return rest;
}

/** Everything of a project in the database, as one text. */
async function allOf(projectId: string): Promise<string[]> {
  const tables = await look<{ name: string }>(
    `SELECT table_name AS name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_schema = 'public' AND column_name = 'project_id' AND table_type = 'BASE TABLE' ORDER BY 1`,
  );
  const texts = [];
  for (const { name } of tables) {
    const rows = await look<{ row: string }>(
      `SELECT t::text AS row FROM ${name} t WHERE project_id = $1 ORDER BY 1`,
      [projectId],
    );
    texts.push(...rows.map(({ row }) => `${name}: ${row}`));
  }
  return texts;
}

describe("the table of routes", () => {
  test("has no open route that is not known here, and none of a project without the project in its path", () => {
    const open = running.routes.filter(({ access }) => access === "open").map(nameOf);
    expect(open.filter((name) => !openRoutes.includes(name))).toEqual([]);
    expect(keyed().length).toBeGreaterThan(12);
    for (const route of ofProject()) expect(route.path, nameOf(route)).toContain("{projectId}");
    // A path that names a project is guarded by it.
    for (const route of running.routes.filter(({ path }) => path.includes("{projectId}"))) {
      expect(route.access, nameOf(route)).toBe("project");
    }
  });
});

describe("P23: every route that needs a key, without a right one", () => {
  test.each<[what: string, code: string, key: () => string | null]>([
    ["no key", "missing_key", () => null],
    ["a malformed key", "wrong_key", () => "sk_short"],
    ["the right prefix and a wrong tail", "wrong_key", () => `${own.key.slice(0, -3)}AAA`],
    ["a developer key that is none", "wrong_key", () => `dk_${own.key.slice(3)}`],
    ["a revoked key", "wrong_key", () => revoked],
  ])("%s is 401, whatever it asks for", async (_what, code, key) => {
    for (const route of keyed()) {
      const answers = [
        await ask(route, fill(route, own.id, "own-1"), key()),
        await ask(route, fill(route, other.id, "other-1"), key()),
        await ask(route, fill(route, randomUUID(), "never-1"), key()),
        await ask(route, fill(route, "no-project", "%00"), key()),
      ];
      for (const answer of answers) {
        expect(answer.status, nameOf(route)).toBe(401);
        if (answer.code !== undefined) expect(answer.code).toBe(code);
        expect(answer.headers).toContain("www-authenticate");
      }
      const first = answers[0] as Asked;
      for (const answer of answers) expect(answer, nameOf(route)).toEqual(first);
    }
  });

  test("a wrong key costs one round trip, and none when it comes again", async () => {
    const [route] = ofProject() as [Route];
    const path = fill(route, own.id, "own-1");
    for (const kind of ["sk", "dk"]) {
      const key = `${kind}_${randomBytes(32).toString("base64url")}`;
      const before = keyLookups;
      for (let n = 0; n < 3; n++) expect((await ask(route, path, key)).roundTrips).toBe(0);
      expect(keyLookups - before).toBe(1);
    }
  });
});

describe("P22, M2: a project's key", () => {
  test("opens no developer's route", async () => {
    const routes = keyed().filter(({ access }) => access === "developer");
    expect(routes.length).toBeGreaterThan(0);
    for (const route of routes) {
      const answer = await ask(route, fill(route, own.id, "own-1"), own.key);
      expect([answer.status, answer.code], nameOf(route)).toEqual([403, "developer_key_needed"]);
    }
  });

  test("gets 404 for every route of another project, as of one that does not exist, with the same work", async () => {
    const before = await allOf(other.id);
    expect(before.length).toBeGreaterThan(6);
    for (const route of ofProject()) {
      for (const [kind, foreign, unknown] of await strangeIds()) {
        const nowhere = randomUUID();
        await ask(route, fill(route, own.id, "warm-1"), own.key);
        const ofOther = await ask(route, fill(route, other.id, foreign), own.key);
        const ofNobody = await ask(route, fill(route, nowhere, unknown), own.key);
        expect(ofOther.status, `${nameOf(route)} ${kind}`).toBe(404);
        if (ofOther.code !== undefined) expect(ofOther.code).toBe("project_not_found");
        expect({ ...ofOther, text: without(ofOther.text, other.id, foreign) }).toEqual({
          ...ofNobody,
          text: without(ofNobody.text, nowhere, unknown),
        });
        expect(ofOther.roundTrips).toBe(0);
      }
    }
    expect(await allOf(other.id)).toEqual(before);
  });

  test("gets, under its own project, the same for another's ids as for ids that do not exist, with the same work", async () => {
    const before = await allOf(other.id);
    const withParts = ofProject().filter(({ path }) => path.replace("{projectId}", "").includes("{"));
    expect(withParts.length).toBeGreaterThan(5);
    for (const route of withParts) {
      for (const [kind, foreign, unknown] of await strangeIds()) {
        const asked = `${nameOf(route)} ${kind}`;
        await ask(route, fill(route, own.id, "warm-1"), own.key);
        const ofOther = await ask(route, fill(route, own.id, foreign), own.key);
        const ofNobody = await ask(route, fill(route, own.id, unknown), own.key);
        expect({ ...ofOther, text: without(ofOther.text, foreign) }, asked).toEqual({
          ...ofNobody,
          text: without(ofNobody.text, unknown),
        });
        expect([401, 403, 500, 503], asked).not.toContain(ofOther.status);
        expect(ofOther.text, asked).not.toContain(other.id);
      }
    }
    expect(await allOf(other.id)).toEqual(before);
  });

  test("opens its own project's routes", async () => {
    for (const route of keyed().filter(({ access }) => access !== "developer")) {
      const answer = await ask(route, fill(route, own.id, "own-1"), own.key);
      expect([401, 403, 429, 500, 503], `${nameOf(route)} ${answer.text}`).not.toContain(answer.status);
      expect(answer.code, nameOf(route)).not.toBe("project_not_found");
    }
  });

  test("lists nothing of another project", async () => {
    for (const route of keyed().filter(({ method, access }) => method === "GET" && access !== "developer")) {
      const { text } = await ask(route, fill(route, own.id, "own-1"), own.key);
      expect(text, nameOf(route)).not.toContain(other.id);
      expect(text, nameOf(route)).not.toContain("the-other-alone");
    }
  });
});

describe("a developer key", () => {
  test("opens every project's routes, and gets 404 for a project that does not exist or has no id", async () => {
    for (const route of ofProject()) {
      for (const projectId of [own.id, other.id].slice(0, route.method === "GET" ? 2 : 1)) {
        const answer = await ask(route, fill(route, projectId, "own-1"), dk);
        expect([401, 403, 429, 500, 503], nameOf(route)).not.toContain(answer.status);
        expect(answer.code, nameOf(route)).not.toBe("project_not_found");
      }
      for (const projectId of [randomUUID(), "x", "%00", own.id.toUpperCase()]) {
        const answer = await ask(route, fill(route, projectId, "own-1"), dk);
        expect(answer.status, `${nameOf(route)} ${projectId}`).toBe(404);
      }
    }
  });
});
