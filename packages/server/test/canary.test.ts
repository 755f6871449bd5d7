// Secrets that can be recognised are given to a server, every route and some failures are driven, and then everything
// that the server has written or answered is searched for them.
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { placeAudio } from "../../../test/audio.ts";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import type { FirstStart } from "../../../test/process.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { type RunningHere, startSendoff } from "../src/main.ts";
import { conceal } from "../src/secrets/conceal.ts";
import { createSealer } from "../src/secrets/seal.ts";

const password = "canary-database-password-1";
const headerValue = 'canary "header" va\\lue-2';
const token = "canary-bearer-token-3";
const secretKey = createHash("sha256").update("canary secret key").digest();

let database: TestDatabase;
let dataFolder: string;
let running: RunningHere;
let echo: Sink;
let apiUrl: string;
let projectId: string;
/** What the log keeps of an answer that repeats its request. */
let echoed = "";
let signature: string;
const secrets = new Map<string, string>();
const lines: string[] = [];
const answers: string[] = [];

async function ask(method: string, path: string, key: string | null, body?: string): Promise<string> {
  const response = await fetch(apiUrl + path, {
    method,
    redirect: "manual",
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body }),
  });
  const text = await response.text();
  const headers = JSON.stringify([...response.headers]);
  // The one answer that a new key stands in, for this is what it is for.
  if (!(method === "POST" && path === "/v1/projects" && response.status === 201)) {
    answers.push(`${method} ${path} ${response.status} ${headers} ${text}`);
  }
  return text;
}

/** A secret as it may stand somewhere: as it is, in JSON, in a URL, in base64, in hexadecimal digits of its bytes. */
function formsOf(secret: string | Buffer): string[] {
  const bytes = Buffer.from(secret);
  const text =
    typeof secret === "string"
      ? [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret)]
      : [];
  return [
    ...text,
    bytes.toString("base64").replace(/=+$/, ""),
    bytes.toString("base64url"),
    bytes.toString("hex"),
  ];
}

function expectNone(where: string, text: string): void {
  for (const [name, secret] of secrets) {
    for (const form of formsOf(name === "secret key" ? secretKey : secret)) {
      expect(text.includes(form), `${name} stands in ${where}: ${text.slice(0, 300)}`).toBe(false);
    }
  }
}

beforeAll(async () => {
  database = await createTestDatabase();
  dataFolder = await mkdtemp(join(tmpdir(), "sendoff-test-canary-"));
  const databaseUrl = new URL(database.url);
  databaseUrl.password = password;
  echo = await startSink((response, { headers, body }) => {
    response.statusCode = body.includes("recording.ready") ? 200 : 500;
    response.end(`you sent ${headers["x-canary"]} ${JSON.stringify({ headers, body })}`);
  });
  running = await startSendoff({
    role: "all",
    env: {
      DATABASE_URL: databaseUrl.href,
      SENDOFF_DATA: dataFolder,
      SENDOFF_ALLOW_HTTP: "loopback",
      SENDOFF_SECRET_KEY: secretKey.toString("base64"),
      SENDOFF_WRONG_KEY_LIMIT: "100000",
      SENDOFF_LOG: "debug",
      PORT: "0",
    },
    logTo: { write: (line) => lines.push(line) },
  });
  const start = running.start as FirstStart;
  ({ apiUrl, projectId } = start);
  const made = JSON.parse(await ask("POST", "/v1/projects", start.developerKey, '{"name":"Canary"}')).data;
  secrets.set("database password", password);
  secrets.set("secret key", secretKey.toString("base64"));
  secrets.set("header value", headerValue);
  secrets.set("token", token);
  secrets.set("developer key", start.developerKey);
  secrets.set("project key", start.projectKey);
  secrets.set("new project key", made.key);
  secrets.set("token of the inspector", new URL(start.inspectorUrl).pathname.slice("/inspect/".length));
  // What it gets has secrets of those who send there.
  const inspected = { "x-canary": headerValue, authorization: `Bearer ${token}` };
  expect((await fetch(start.inspectorUrl, { method: "POST", headers: inspected, body: "{}" })).status).toBe(
    200,
  );
  const arrived = await fetch(start.inspectorUrl);
  answers.push(`GET inspector ${arrived.status} ${await arrived.text()}`);

  const agent = `/v1/projects/${projectId}/agent`;
  const webhook = (headers: object[]): string =>
    JSON.stringify({
      postSessionWebhook: {
        url: echo.url,
        events: ["session.ended", "session.finalized", "recording.ready"],
        headers,
      },
    });
  const headers = [
    { key: "X-Canary", value: headerValue },
    { key: "Authorization", value: `Bearer ${token}` },
  ];
  await ask("PATCH", agent, start.projectKey, webhook(headers));
  const { rows } = await database.pool.query(
    "SELECT endpoint_id AS id, secret_sealed AS sealed FROM endpoints WHERE url = $1",
    [echo.url],
  );
  const signing = await createSealer(secretKey).open(`endpoint:${rows[0].id}:secret`, rows[0].sealed);
  secrets.set("signing secret", signing.slice("whsec_".length));

  // What is refused: the values in it are not repeated.
  for (const wrong of [
    [{ key: "X-Canary", value: `${headerValue}\r\n` }],
    [{ key: "Host", value: headerValue }],
    [{ key: "X-Canary", value: headerValue, extra: token }],
    [{ key: "X-Canary", value: token.repeat(400) }],
  ]) {
    await ask("PATCH", agent, start.projectKey, webhook(wrong));
  }
  await ask("PATCH", agent, start.projectKey, webhook(headers).slice(0, -5));

  const session = `/v1/projects/${projectId}/sessions`;
  const ended = '{"channel":"text","currentNodeId":"n","messagesCount":1,"extractedVariables":{}}';
  const objectKey = `projects/${projectId}/sessions/call-1/audio.ogg`;
  await placeAudio(dataFolder, objectKey);
  await ask("POST", `${session}/text-1/conversation-ended`, start.projectKey, ended);
  await ask(
    "POST",
    `${session}/call-1/recording-processed`,
    start.projectKey,
    JSON.stringify({ success: true, objectKey }),
  );
  await echo.arrived(3);
  const ready = echo.received.find(({ json }) => json.event === "recording.ready");
  signature = new URL(ready?.json.recordingUrl).searchParams.get("signature") ?? "";
  secrets.set("signature of a recording's link", signature);
  const logged = async () => (await database.pool.query("SELECT FROM webhook_logs")).rowCount === 3;
  await until("the three are logged", logged);
  // Before some route erases the session.
  const answers500 = await database.pool.query<{ body: Buffer }>(
    "SELECT response_body AS body FROM webhook_logs WHERE event = 'session.ended' AND response_status = 500",
  );
  echoed = String(answers500.rows[0]?.body);

  // Every route, with every key, and bodies that are right, wrong and broken.
  const wrongKey = `sk_${"w".repeat(43)}`;
  const { rows: logs } = await database.pool.query("SELECT log_id::text AS id FROM webhook_logs");
  for (const route of running.routes) {
    const paths = [route.path.replace("{projectId}", projectId).replace("{sessionId}", "text-1")].flatMap(
      (path) => (path.includes("{") ? logs.map(({ id }) => path.replace(/\{\w+\+?\}/g, id)) : [path]),
    );
    for (const path of paths) {
      for (const key of [start.projectKey, start.developerKey, made.key, wrongKey, null]) {
        const bodies = route.method === "GET" ? [undefined] : ["{}", '{"name":"n"}', '{"broken'];
        for (const body of bodies) await ask(route.method, path, key, body);
        await ask(
          route.method,
          `${path}?key=${start.projectKey}`,
          null,
          route.method === "GET" ? undefined : "{}",
        );
      }
    }
  }
  // A failure of the database, and one of the installation: without its key no delivery can be composed.
  await database.pool.query("UPDATE endpoints SET headers_sealed = 'broken' WHERE url = $1", [echo.url]);
  await ask("GET", agent, start.projectKey);
  await ask("POST", `${session}/text-2/conversation-ended`, start.projectKey, ended);
  await until("it is settled", async () => lines.some((line) => line.includes("delivery.not_composed")));
});
afterAll(async () => {
  await running.stop();
  await echo.close();
  await database.drop();
  await rm(dataFolder, { recursive: true, force: true });
});

describe("I10, M4, M16: no secret stands in clear", () => {
  test("the endpoint did get them, so there was something to hide", () => {
    const [first] = echo.received;
    expect(first?.headers["x-canary"]).toBe(headerValue);
    expect(first?.headers.authorization).toBe(`Bearer ${token}`);
    expect(signature.length).toBeGreaterThan(20);
  });

  test("in no line of the log", () => {
    expect(lines.length).toBeGreaterThan(10);
    expect(lines.some((line) => line.includes("http.failed"))).toBe(true);
    for (const line of lines) expectNone("the log", line);
  });

  test("in no answer of the API, errors and metrics included", () => {
    expect(answers.length).toBeGreaterThan(200);
    for (const status of [200, 400, 401, 403, 404, 422, 500]) {
      expect(
        answers.some((answer) => answer.split(" ")[2] === String(status)),
        String(status),
      ).toBe(true);
    }
    expect(answers.some((answer) => answer.includes("sendoff_reports_total"))).toBe(true);
    for (const answer of answers) {
      // The way it was asked is not the answer.
      expectNone("an answer", answer.replace(/^\S+ \S+/, ""));
    }
  });

  test("in no column of any table", async () => {
    const { rows: tables } = await database.pool.query<{ name: string }>(
      "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'",
    );
    expect(tables.length).toBeGreaterThan(10);
    let seen = 0;
    for (const { name } of tables) {
      const { rows } = await database.pool.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
      seen += rows.length;
      // Bytes are shown as hexadecimal digits, and quotes doubled.
      for (const { row } of rows)
        expectNone(`the table ${name}`, row.replaceAll('""', '"').replaceAll("\\\\", "\\"));
    }
    expect(seen).toBeGreaterThan(20);
  });

  test("in no file but start.json and the key's own", async () => {
    for (const entry of await readdir(dataFolder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || ["start.json", "secret.key"].includes(entry.name)) continue;
      expectNone(entry.name, await readFile(join(entry.parentPath, entry.name), "utf8"));
    }
  });

  test("an echoed header is masked in the log row, and the rest of the answer is there", async () => {
    expect(echoed).toContain("you sent ****ue-2 {");
    expect(echoed).toContain('"x-canary":"****ue-2"');
    expect(echoed).toContain('"authorization":"****en-3"');
    expect(echoed).toContain('"content-type":"application/json"');
  });

  test("a start that fails does not tell the password or the key", async () => {
    const env = { SENDOFF_DATA: dataFolder, SENDOFF_LOG: "silent", PORT: "0" };
    const failing: Array<Record<string, string>> = [
      {
        DATABASE_URL: `postgres://u:${password}@127.0.0.1:1/x`,
        SENDOFF_SECRET_KEY: secretKey.toString("base64"),
      },
      { DATABASE_URL: `mysql://u:${password}@127.0.0.1:1/x` },
      { DATABASE_URL: database.url, SENDOFF_SECRET_KEY: `${secretKey.toString("base64")}x` },
      { DATABASE_URL: database.url, SENDOFF_SECRET_KEYS_OLD: `${secretKey.toString("base64")},x` },
    ];
    for (const more of failing) {
      const error = await startSendoff({ role: "api", env: { ...env, ...more } }).then(
        () => null,
        (reason: unknown) => reason as Error,
      );
      expect(error).toBeInstanceOf(Error);
      expectNone("the error of a start", String(error?.stack));
    }
  });
});

describe("an answer that repeats what was sent", () => {
  const shown = (body: string, ...given: string[]): string => String(conceal(Buffer.from(body), given));

  test.each<[what: string, body: string, secrets: string[], shown: string]>([
    ["as it is, twice", "a tok-12345 b tok-12345", ["tok-12345"], "a ****2345 b ****2345"],
    ["the token without its scheme", "got abcdefgh1", ["Bearer abcdefgh1"], "got ****fgh1"],
    ["in JSON", '{"h":"a\\"b\\\\c-1"}', ['a"b\\c-1'], '{"h":"****"}'],
    ["in a URL", "x=a%20b%2Fc", ["a b/c"], "x=****"],
    ["in base64", Buffer.from("user:pass").toString("base64"), ["user:pass"], "****pass"],
    ["cut off at the end", "it was tok-123", ["tok-12345"], "it was ****"],
    ["the longer one first", "tok-12345-more", ["tok-12345", "tok-12345-more"], "****more"],
    ["8 characters, of which none is shown", "it is 12345678", ["12345678"], "it is ****"],
    ["too short for a secret", "1 is on", ["1", "on"], "1 is on"],
    ["not at all", "ok", ["tok-12345"], "ok"],
    ["nothing", "", ["tok-12345"], ""],
  ])("%s", (_what, body, given, expected) => {
    expect(shown(body, ...given)).toBe(expected);
  });

  test("keeps bytes that are no text", () => {
    const bytes = Buffer.from([0xff, 0x00, 0xc3, 0x28]);
    const body = Buffer.concat([bytes, Buffer.from("tok-12345"), bytes]);
    expect(conceal(body, ["tok-12345"])).toEqual(Buffer.concat([bytes, Buffer.from("****2345"), bytes]));
  });
});
