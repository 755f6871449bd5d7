// sendoff keys, over the database of a server that runs.
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestDatabase } from "../../../test/database.ts";
import { isRunning, newFolder, processTree, runSendoff, startProcess } from "../../../test/process.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { main } from "../src/main.ts";
import { run } from "./command.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const sendoff = (...args: string[]) => run(args, { DATABASE_URL: server.database.url });

interface Listed {
  readonly id: string;
  readonly prefix: string;
  readonly kind: string;
  readonly projectId: string | null;
  readonly lastUsedAt: string | null;
  readonly revokedAt: string | null;
}

async function listed(): Promise<Listed[]> {
  const { status, out, err } = await sendoff("keys", "list", "--json");
  expect(status, err).toBe(0);
  return out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

async function created(...flags: string[]): Promise<{ id: string; key: string }> {
  const { status, out, err } = await sendoff("keys", "create", ...flags, "--json");
  expect(status, err).toBe(0);
  return JSON.parse(out);
}

const statusFor = async (key: string, path = "/v1/projects"): Promise<number> =>
  (await server.api("GET", path, undefined, key)).status;

describe("sendoff keys list", () => {
  test("shows how each key begins, what it opens and when it was used, and no key", async () => {
    expect(await statusFor(server.developerKey)).toBe(200);
    await until("its use is noted", async () =>
      (await listed()).some(({ lastUsedAt }) => lastUsedAt !== null),
    );
    const keys = await listed();
    // Both were made in one transaction, and so at the same moment.
    expect(keys.toSorted((a, b) => b.kind.localeCompare(a.kind))).toMatchObject([
      {
        prefix: server.projectKey.slice(0, 9),
        kind: "project",
        projectId: server.projectId,
        revokedAt: null,
      },
      { prefix: server.developerKey.slice(0, 9), kind: "developer", projectId: null, revokedAt: null },
    ]);
    const { out } = await sendoff("keys", "list");
    expect(out).toMatch(/^id +key +opens +created +last used +revoked\n/);
    expect(out).toContain(`${server.developerKey.slice(0, 9)}…  every project`);
    for (const text of [out, JSON.stringify(keys)]) {
      expect(text).not.toContain(server.projectKey);
      expect(text).not.toContain(server.developerKey);
      expect(text).not.toContain("hash");
    }
  });
});

describe("sendoff keys create", () => {
  test("makes a key of a project or of all, which works at once", async () => {
    const developer = await created("--developer");
    expect(developer.key).toMatch(/^dk_/);
    expect(await statusFor(developer.key)).toBe(200);
    const project = await created("--project", server.projectId);
    expect(project.key).toMatch(/^sk_/);
    expect(await statusFor(project.key, `/v1/projects/${server.projectId}/agent`)).toBe(200);
    expect((await listed()).find(({ id }) => id === project.id)).toMatchObject({
      projectId: server.projectId,
    });
  });

  test("shows it on a terminal, and elsewhere makes none unless it is asked for JSON", async () => {
    const before = (await listed()).length;
    const elsewhere = await sendoff("keys", "create", "--developer");
    expect(elsewhere).toMatchObject({ status: 2, out: "", err: expect.stringContaining("Give --json") });
    expect(await listed()).toHaveLength(before);
    let out = "";
    const status = await main(["keys", "create", "--developer"], {
      stdout: { write: (text) => (out += text), isTTY: true },
      stderr: { write: () => true },
      env: { DATABASE_URL: server.database.url },
    });
    expect(status).toBe(0);
    expect(await statusFor(out.trim())).toBe(200);
  });

  test("says what is missing: neither or both kinds, and a project that does not exist", async () => {
    const before = (await listed()).length;
    for (const flags of [[], ["--developer", "--project", server.projectId]]) {
      expect(await sendoff("keys", "create", "--json", ...flags)).toMatchObject({
        status: 2,
        err: expect.stringContaining("either --developer (every project) or --project <id> (one)"),
      });
    }
    for (const unknown of ["clinic", "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20"]) {
      expect(await sendoff("keys", "create", "--json", "--project", unknown)).toMatchObject({
        status: 2,
        err: expect.stringContaining(
          `There is no project "${unknown}"; expected the id of one, such as ${server.projectId}`,
        ),
      });
    }
    expect(await listed()).toHaveLength(before);
  });
});

describe("sendoff keys revoke", () => {
  let made: { id: string; key: string };
  beforeEach(async () => {
    made = await created("--project", server.projectId);
  });
  const path = (): string => `/v1/projects/${server.projectId}/agent`;

  test("is obeyed by a running process within a second, also while the key is in use", async () => {
    let last = 0;
    let done = false;
    const using = (async () => {
      while (!done) last = await statusFor(made.key, path());
    })();
    await until("the key is in use", () => last === 200);
    const { status, out } = await sendoff("keys", "revoke", made.id);
    const revokedMs = performance.now();
    expect([status, out]).toEqual([
      0,
      `Revoked the key ${made.id} (${made.key.slice(0, 9)}…) of project ${server.projectId}. Every process refuses it within a second.\n`,
    ]);
    await until("it is refused", () => last === 401);
    expect(performance.now() - revokedMs).toBeLessThan(1_000);
    done = true;
    await using;
    expect(await statusFor(server.projectKey, path())).toBe(200);
  });

  test("ends a live stream of the key before another event is written to it", async () => {
    const report = (sessionId: string) =>
      server.api("POST", `/v1/projects/${server.projectId}/sessions/${sessionId}/conversation-ended`, {
        ...{ channel: "text", currentNodeId: "bye", messagesCount: 1, extractedVariables: {} },
      });
    const response = await fetch(`${server.apiUrl}/v1/projects/${server.projectId}/events`, {
      headers: { authorization: `Bearer ${made.key}`, accept: "text/event-stream" },
    });
    let got = "";
    let ended = false;
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>)
        got += Buffer.from(chunk).toString();
      ended = true;
    })();
    await report("before-revocation");
    await until("the stream has it", () => got.includes("before-revocation"));
    await sendoff("keys", "revoke", made.id);
    await until("it is refused", async () => (await statusFor(made.key, path())) === 401);
    await report("after-revocation");
    await until("the stream has ended", () => ended);
    await reading;
    expect(got).not.toContain("after-revocation");
  });

  test("takes an id, how an id or a key begins, or a whole key", async () => {
    const ways = [
      (one: { id: string; key: string }) => one.id.slice(0, 13),
      (one: { id: string; key: string }) => one.key.slice(0, 9),
      (one: { id: string; key: string }) => `${one.key.slice(0, 9)}…`,
      (one: { id: string; key: string }) => one.key,
    ];
    for (const way of ways) {
      const one = await created("--developer");
      expect(await sendoff("keys", "revoke", way(one))).toMatchObject({
        status: 0,
        out: expect.stringContaining(`Revoked the key ${one.id}`),
      });
      expect((await listed()).find(({ id }) => id === one.id)?.revokedAt).not.toBe(null);
    }
  });

  test("a whole key is found although it was made before its beginning was kept", async () => {
    await server.pool.query("UPDATE api_keys SET prefix = NULL WHERE key_id = $1", [made.id]);
    expect((await sendoff("keys", "list")).out).toMatch(new RegExp(`^${made.id} +${server.projectId}`, "m"));
    expect((await sendoff("keys", "revoke", made.key)).out).toContain(`Revoked the key ${made.id} of`);
  });

  test("does nothing when no key, more than one, or one that was revoked is meant, and says which", async () => {
    const valid = async (): Promise<number> =>
      (await listed()).filter(({ revokedAt }) => revokedAt === null).length;
    const before = await valid();
    // The last is a key with a wrong rest: to take it for the one that begins so would be a guess.
    for (const given of ["sk_", "0000000000", "%", `${made.key.slice(0, 20)}`]) {
      expect(await sendoff("keys", "revoke", given)).toMatchObject({
        status: 2,
        err: expect.stringContaining("none was revoked"),
      });
    }
    const twin = made.id.slice(0, 8).concat("-0000-4000-8000-000000000000");
    await server.pool.query(
      "INSERT INTO api_keys (key_id, kind, key_hash, prefix) VALUES ($1, 'developer', sha256('twin'), 'dk_twin00')",
      [twin],
    );
    const several = await sendoff("keys", "revoke", made.id.slice(0, 8));
    expect(several.status).toBe(2);
    for (const part of ["2 keys begin so", made.id, twin]) expect(several.err).toContain(part);
    expect(await valid()).toBe(before + 1);
    await sendoff("keys", "revoke", twin);
    const again = await sendoff("keys", "revoke", twin);
    expect(again).toMatchObject({
      status: 0,
      out: expect.stringMatching(/^Nothing was done: .* was revoked at 20/),
    });
  });
});

describe("a database that has no keys to speak of", () => {
  test("is told in a sentence: none, one that no API has started on, one without tables, one that is away", async () => {
    const folder = await newFolder();
    const nothing = await run(["keys", "list"], { SENDOFF_DATA: join(folder, "none") });
    expect(nothing).toMatchObject({
      status: 2,
      err: expect.stringMatching(/^No database is known: DATABASE_URL/),
    });
    await mkdir(join(folder, "empty"));
    const empty = await run(["keys", "list"], { SENDOFF_DATA: join(folder, "empty") });
    expect(empty.err).toContain(`${join(folder, "empty")} has no embedded PostgreSQL`);
    await rm(folder, { recursive: true });

    const fresh = await createTestDatabase();
    const unused = await run(["keys", "create", "--developer", "--json"], { DATABASE_URL: fresh.url });
    expect(unused).toMatchObject({
      status: 2,
      out: "",
      err: expect.stringContaining("has no project and no key yet"),
    });
    await fresh.pool.query("DROP TABLE kysely_migration");
    const other = await run(["keys", "list"], { DATABASE_URL: fresh.url });
    expect(other.err).toContain("does not have the tables of this version of Sendoff");
    await fresh.drop();
    const gone = await run(["keys", "list"], { DATABASE_URL: fresh.url });
    expect(gone).toMatchObject({ status: 2, err: expect.stringContaining("Check DATABASE_URL") });
  });
});

describe("the embedded PostgreSQL of a data folder", () => {
  test("is reached while sendoff start runs on it, and also when nothing does; then it is ended again", async () => {
    const folder = await newFolder();
    const env = { SENDOFF_DATA: join(folder, "data"), PORT: "0", DATABASE_URL: "" };
    const started = await startProcess(env);
    const create = await runSendoff(["keys", "create", "--developer", "--json"], env);
    expect(create.code, create.output).toBe(0);
    const { id, key } = JSON.parse(create.output) as { id: string; key: string };
    const use = async (): Promise<number> =>
      (await fetch(`${started.start.apiUrl}/v1/projects`, { headers: { authorization: `Bearer ${key}` } }))
        .status;
    expect(await use()).toBe(200);
    const tree = processTree(started.child.pid ?? 0);
    expect(await started.end("SIGTERM")).toBe(0);
    expect(tree.filter(isRunning)).toEqual([]);

    const revoked = await runSendoff(["keys", "revoke", id], env);
    expect(revoked.output).toContain(`Revoked the key ${id}`);
    const list = await runSendoff(["keys", "list", "--json"], env);
    expect(list.output.trimEnd().split("\n")).toHaveLength(3);
    await expect(readFile(join(env.SENDOFF_DATA, "postgres/postmaster.pid"))).rejects.toThrow("ENOENT");
    await rm(folder, { recursive: true, force: true });
  });
});
