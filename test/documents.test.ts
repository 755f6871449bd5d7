// Every page of docs/ is run, from its first block to its last: what it shows is what is printed.
import { readdirSync, readFileSync } from "node:fs";
import { rm, symlink } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createTestDatabase, type TestDatabase } from "./database.ts";
import { blocksOf, runDocument } from "./documents.ts";
import { newFolder } from "./process.ts";
import { startTestServer, type TestServer } from "./server.ts";

const root = resolve(import.meta.dirname, "..");
const docs = join(root, "docs");
let folder: string;

/** Pages that another test runs, in a surrounding of their own. */
const elsewhere: Readonly<Record<string, string>> = {
  "getting-started.md": "test/newcomer.test.ts",
  "api.md": "test/api-examples.test.ts",
  "receiving.md": "test/receiving.test.ts",
};
/** Pages of words and tables alone. */
const withoutBlocks = ["README.md", "egress.md", "guarantees.md", "performance.md", "postgresql.md"];
const run = ["commands.md", "concepts.md", "migrating.md", "security.md"];

beforeEach(async () => {
  folder = await newFolder();
  // As if it had been installed in this folder.
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("every page of docs/ is run by a test, or has no block", () => {
  const pages = readdirSync(docs).filter((name) => name.endsWith(".md"));
  const known = [...Object.keys(elsewhere), ...withoutBlocks, ...run, "self-hosting.md"];
  expect(pages.toSorted()).toEqual(known.toSorted());
  for (const name of withoutBlocks)
    expect(blocksOf(readFileSync(join(docs, name), "utf8")), name).toEqual([]);
  for (const [name, file] of Object.entries(elsewhere)) {
    expect(readFileSync(join(root, file), "utf8"), file).toContain(`docs/${name}`);
  }
});

test("docs/README.md names every page", () => {
  const index = readFileSync(join(docs, "README.md"), "utf8");
  for (const name of readdirSync(docs)) {
    if (name !== "README.md" && name.endsWith(".md")) expect(index).toContain(`(${name})`);
  }
});

describe("with a server", () => {
  let server: TestServer;

  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.stop());

  test.each(run)(
    "docs/%s runs, and prints what it shows",
    async (name) => {
      const ports = await freePorts(1);
      // The shell of an operator, who has the database.
      const env = { SENDOFF_DATA: server.dataFolder, DATABASE_URL: server.database.url };
      const ran = await runDocument(join(docs, name), { folder, env, replace: [["4710", String(ports[0])]] });
      expect(ran.blocks.length).toBeGreaterThan(2);
    },
    120_000,
  );
});

describe("with a PostgreSQL", () => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  test("docs/self-hosting.md runs, and prints what it shows", async () => {
    const [port] = await freePorts(1);
    const ran = await runDocument(join(docs, "self-hosting.md"), {
      folder,
      env: { SENDOFF_ALLOW_HTTP: "loopback" },
      replace: [
        ["postgres://sendoff:secret@db.internal:5432/sendoff", database.url],
        // What is reached from outside is this machine here.
        ["https://sendoff.example.com", `http://127.0.0.1:${port}`],
        ["4600", String(port)],
      ],
    });
    expect(ran.blocks.length).toBeGreaterThan(4);
  });
});

async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    probes.map(async (probe) => {
      await new Promise<void>((done) => probe.listen(0, "127.0.0.1", done));
      return (probe.address() as AddressInfo).port;
    }),
  );
  await Promise.all(probes.map((probe) => new Promise((done) => probe.close(done))));
  return ports;
}
