// What a start makes on a database, and what it writes to start.json.
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StartFile } from "@sendoff/contract";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { type RunningHere, startSendoff } from "../src/main.ts";
import type { Role } from "../src/running.ts";

let database: TestDatabase;
let folder: string;
const running: RunningHere[] = [];
const secretKey = randomBytes(32).toString("base64");

beforeEach(async () => {
  database = await createTestDatabase();
  folder = await mkdtemp(join(tmpdir(), "sendoff-test-installation-"));
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
  await database.drop();
  await rm(folder, { recursive: true, force: true });
});

const pathOf = (name: string): string => join(folder, name, "start.json");
const fileOf = async (name: string): Promise<StartFile> =>
  StartFile.parse(JSON.parse(await readFile(pathOf(name), "utf8")));

/** A process with a data folder of its own. */
async function start(name: string, role: Role = "api"): Promise<StartFile> {
  const one = await startSendoff({
    role,
    env: {
      DATABASE_URL: database.url,
      SENDOFF_DATA: join(folder, name),
      SENDOFF_SECRET_KEY: secretKey,
      SENDOFF_ALLOW_HTTP: "loopback",
      SENDOFF_LOG: "silent",
      PORT: "0",
    },
  });
  running.push(one);
  const written = await fileOf(name);
  expect(one.start).toEqual(written);
  return written;
}

async function stopAll(): Promise<void> {
  for (const one of running.splice(0)) await one.stop();
}

async function keysInDatabase(): Promise<Array<{ kind: string; revoked: boolean }>> {
  const { rows } = await database.pool.query(
    "SELECT kind, revoked_at IS NOT NULL AS revoked FROM api_keys ORDER BY kind",
  );
  return rows;
}

const both = [
  { kind: "developer", revoked: false },
  { kind: "project", revoked: false },
];
const none = { projectKey: null, developerKey: null, inspectorUrl: null };

const opens = async (apiUrl: string, key: string | null): Promise<number> =>
  (await fetch(`${apiUrl}/v1/projects`, { headers: { authorization: `Bearer ${key}` } })).status;

describe("keys are made once for a database", () => {
  test("the first start makes a project and two keys, which its start.json has", async () => {
    const first = await start("first");
    expect(await keysInDatabase()).toEqual(both);
    for (const key of [first.projectKey, first.developerKey])
      expect(await opens(first.apiUrl, key)).toBe(200);
  });

  test("a further process with an empty folder makes none, and starts with the project that is there", async () => {
    const first = await start("first");
    const second = await start("second");
    expect(second).toMatchObject({ ...none, projectId: first.projectId });
    expect(await keysInDatabase()).toEqual(both);
    // The keys of the first one open it as well.
    expect(await opens(second.apiUrl, first.projectKey)).toBe(200);
    const projects = await database.pool.query("SELECT FROM projects");
    const inspectors = await database.pool.query("SELECT FROM inspectors");
    expect([projects.rowCount, inspectors.rowCount]).toEqual([1, 1]);
  });

  test("of processes that start on an empty database at once, one makes the keys", async () => {
    const names = ["a", "b", "c", "d"];
    const files = await Promise.all(names.map((name) => start(name)));
    expect(await keysInDatabase()).toEqual(both);
    expect(files.filter(({ developerKey }) => developerKey !== null)).toHaveLength(1);
    expect(files.filter(({ projectKey }) => projectKey !== null)).toHaveLength(1);
    expect(new Set(files.map(({ projectId }) => projectId)).size).toBe(1);
  });

  test("a start whose start.json is gone makes none", async () => {
    const first = await start("first", "all");
    await stopAll();
    await rm(pathOf("first"));
    expect(await start("first", "all")).toMatchObject({ ...none, projectId: first.projectId });
    expect(await keysInDatabase()).toEqual(both);
  });

  test("a start.json with keys that were never committed is passed over", async () => {
    // As of a process that ended between the file and the commit.
    const first = await start("first");
    await stopAll();
    const other = { ...first, projectId: "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20" };
    await database.drop();
    database = await createTestDatabase();
    await writeFile(pathOf("first"), JSON.stringify(other));
    const made = await start("first");
    expect(made.projectId).not.toBe(other.projectId);
    expect(made.developerKey).not.toBe(first.developerKey);
    expect(await opens(made.apiUrl, made.developerKey)).toBe(200);
  });

  test("no key is made where start.json cannot be written", async () => {
    const draft = `${pathOf("first")}.${process.pid}.new`;
    await mkdir(draft, { recursive: true });
    await expect(start("first")).rejects.toThrow("EISDIR");
    expect(await keysInDatabase()).toEqual([]);
    await rm(draft, { recursive: true });
    expect((await start("first")).developerKey).toMatch(/^dk_/);
  });
});

describe("start.json", () => {
  test("keeps its keys over starts, with a new sign-in link each time", async () => {
    const first = await start("first");
    await stopAll();
    const second = await start("first");
    expect(second).toMatchObject({
      projectKey: first.projectKey,
      developerKey: first.developerKey,
      projectId: first.projectId,
    });
    expect(second.signInUrl).not.toBe(first.signInUrl);
  });

  test("loses a key that was revoked, and keeps the other", async () => {
    const first = await start("first");
    await stopAll();
    await database.pool.query("UPDATE api_keys SET revoked_at = now() WHERE kind = 'developer'");
    const second = await start("first");
    expect(second).toMatchObject({ projectKey: first.projectKey, developerKey: null });
    expect(await keysInDatabase()).toHaveLength(2);
  });
});
