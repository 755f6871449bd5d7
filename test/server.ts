import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import type { Resolver } from "../packages/server/src/egress/resolver.ts";
import { startSendoff } from "../packages/server/src/main.ts";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import type { FirstStart } from "./process.ts";

/** A server that runs, with a way to ask it. */
export interface ServerAtHand extends FirstStart {
  /** Holds start.json. */
  readonly dataFolder: string;
  /** Sends a request with the project's key, or another. A string goes out as it is, anything else as JSON. */
  api(method: string, path: string, body?: unknown, key?: string): Promise<ApiAnswer>;
}

/** What start.json says of a server, with a way to ask it. */
export function atHand(start: FirstStart, dataFolder: string): ServerAtHand {
  const { apiUrl, projectKey } = start;
  return {
    ...start,
    dataFolder,
    api: (method, path, body, key = projectKey) => request(apiUrl + path, method, body, key),
  };
}

/** A server in this process, on a database and a free port of its own. */
export interface TestServer extends ServerAtHand {
  readonly database: TestDatabase;
  /** On the server's database, for looking behind the API. */
  readonly pool: pg.Pool;
  stop(): Promise<void>;
}

interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The parsed body. */
  // biome-ignore lint/suspicious/noExplicitAny: a test looks at whatever was answered
  readonly body: any;
  readonly text: string;
}

/** Names of tests lead nowhere, and nobody outside is asked for them. */
const noNames: Resolver = { resolve: async () => [] };

/**
 * @param env further settings, as environment variables.
 * @param logTo gets the log's lines, of those levels that SENDOFF_LOG says.
 * @param beside a server on whose database, with whose data folder's key, this one is to work.
 * @param resolver who knows names; without it they have no address.
 * @param through makes the address under which the server reaches its database, such as that of a proxy before it.
 */
export async function startTestServer(
  env: Record<string, string> = {},
  beside: TestServer | null = null,
  logTo?: { write(line: string): void },
  resolver: Resolver = noNames,
  through: (databaseUrl: string) => Promise<string> = async (databaseUrl) => databaseUrl,
): Promise<TestServer> {
  const database = beside?.database ?? (await createTestDatabase());
  const dataFolder = await mkdtemp(join(tmpdir(), "sendoff-test-server-"));
  const running = await startSendoff({
    role: "all",
    ...(logTo === undefined ? {} : { logTo }),
    resolver,
    env: {
      DATABASE_URL: await through(database.url),
      SENDOFF_DATA: dataFolder,
      SENDOFF_ALLOW_HTTP: "loopback",
      SENDOFF_LOG: "silent",
      PORT: "0",
      ...(beside === null
        ? {}
        : { SENDOFF_SECRET_KEY: (await readFile(join(beside.dataFolder, "secret.key"), "utf8")).trim() }),
      ...env,
    },
  });
  const { start } = running;
  if (start === null) throw new Error("a server with an API writes start.json");
  // A further process on a database knows no key; those of the first one open it as well.
  const { inspectorUrl, projectKey, developerKey } = beside ?? (start as FirstStart);
  return {
    ...atHand({ ...start, inspectorUrl, projectKey, developerKey }, dataFolder),
    database,
    pool: database.pool,
    async stop() {
      await running.stop();
      if (beside === null) await database.drop();
      await rm(dataFolder, { recursive: true, force: true });
    },
  };
}

async function request(url: string, method: string, body: unknown, key: string): Promise<ApiAnswer> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const json = response.headers.get("content-type")?.includes("json") ?? false;
  return { status: response.status, headers: response.headers, text, body: json ? JSON.parse(text) : null };
}
