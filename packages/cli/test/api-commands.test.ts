// logs, replay, reconcile, projects, connection and secret against a real server.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";
import { logs } from "../src/commands/logs.ts";
import { run } from "./command.ts";

let server: TestServer;
let folder: string;

beforeAll(async () => {
  server = await startTestServer();
  folder = await mkdtemp(join(tmpdir(), "sendoff-commands-"));
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

const sendoff = (...args: string[]) => run(args, { SENDOFF_DATA: server.dataFolder });
const lines = (out: string) =>
  out
    .trimEnd()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** Points the agent's webhook somewhere. */
async function webhook(url: string): Promise<void> {
  const body = { postSessionWebhook: { url, events: ["session.ended", "session.finalized"] } };
  const answer = await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, body);
  expect(answer.status, answer.text).toBe(200);
}

test("logs shows attempts as a table, as JSON, and one of them whole", async () => {
  const evil = await startSink((response) => response.writeHead(500).end("\u001b[31m\u202eno"));
  await webhook(evil.url);
  await sendoff("trigger", "text", "--session-id", "logs-0");
  const { status } = await sendoff("trigger", "text", "--session-id", "logs-1");
  await evil.close();
  expect(status).toBe(1);
  const table = await sendoff("logs", "--session", "logs-1");
  expect(table.out).toMatch(
    /^id +attempted at +event .*\n.*session\.ended +logs-1 +1 +rejected \(http_error\) +500/,
  );
  expect(table.out.replaceAll("\n", "")).toMatch(/^[^\p{Cc}\p{Cf}]+$/u);
  const rows = lines((await sendoff("logs", "--session", "logs-1", "--json")).out);
  expect(rows.map(({ event }) => event)).toEqual(["session.ended", "session.finalized"]);
  expect((await sendoff("logs", "--session", "logs-1", "--limit", "1", "--json")).out).toContain(
    "session.finalized",
  );
  const one = await sendoff("logs", rows[0].id);
  expect(one.out).toContain('sent\n{"event":"session.ended"');
  expect(one.out).toContain("answered\n\\u{1b}[31m\\u{202e}no");
  expect((await sendoff("logs", "--outcome", "delivered", "--session", "logs-1", "--json")).out).toBe("");
  expect(await sendoff("logs", "--outcome", "broken")).toMatchObject({
    status: 2,
    err: expect.stringContaining("422 invalid_query"),
  });
  expect(await sendoff("logs", "999999")).toMatchObject({
    status: 2,
    err: expect.stringContaining("webhook_log_not_found"),
  });
});

test("logs --follow prints each attempt that comes, once", async () => {
  const sink = await startSink();
  await webhook(sink.url);
  const written = { out: "", err: "" };
  const stop = new AbortController();
  const io = {
    stdout: { write: (text: string) => (written.out += text) },
    stderr: { write: (text: string) => (written.err += text) },
    env: { SENDOFF_DATA: server.dataFolder },
  };
  const ended = logs({ limit: 1, follow: true, json: true }, io, stop.signal);
  await until("it follows", () => written.err.includes("Following"));
  await sendoff("trigger", "text", "--session-id", "follow-1");
  await sendoff("trigger", "text", "--session-id", "follow-2");
  await until(
    "all four came",
    () => lines(written.out).filter(({ sessionId }) => sessionId.startsWith("follow-")).length >= 4,
  );
  // By now each has been read a second time.
  await sendoff("trigger", "text", "--session-id", "later-1");
  await until("the last came", () => written.out.includes("later-1"));
  stop.abort();
  await ended;
  await sink.close();
  const ids = lines(written.out).map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.length).toBeLessThanOrEqual(7);
});

test("replay sends what failed again, and not what was delivered since", async () => {
  let failing = true;
  const sink = await startSink((response) => response.writeHead(failing ? 500 : 200).end());
  await webhook(sink.url);
  await sendoff("trigger", "text", "--session-id", "replay-1");
  failing = false;
  const dry = await sendoff("replay", "--session", "replay-1", "--dry-run", "--json");
  expect(lines(dry.out)).toHaveLength(2);
  expect(sink.received).toHaveLength(2);
  const [first] = lines((await sendoff("logs", "--session", "replay-1", "--json")).out);
  const one = await sendoff("replay", first.id);
  expect(one, one.err).toMatchObject({
    status: 0,
    out: expect.stringMatching(/session\.ended +replay-1 +2 +delivered/),
  });
  const rest = await sendoff("replay", "--session", "replay-1", "--json");
  expect(lines(rest.out)).toMatchObject([{ event: "session.finalized", attempt: 2, result: "delivered" }]);
  expect(await sendoff("replay", "--session", "replay-1")).toMatchObject({
    status: 0,
    out: "There is nothing to send again.\n",
  });
  const again = await sendoff(
    "replay",
    "--session",
    "replay-1",
    "--settled-as",
    "delivered",
    "--event",
    "session.ended",
    "--json",
  );
  expect(lines(again.out)).toMatchObject([{ event: "session.ended", attempt: 3, result: "delivered" }]);
  await sink.close();
  expect(sink.received.map(({ headers }) => headers["sendoff-trigger"])).toEqual([
    "live",
    "live",
    "resend",
    "resend",
    "resend",
  ]);
  expect(await sendoff("replay")).toMatchObject({
    status: 2,
    err: expect.stringContaining("Give ids of attempts, or filters"),
  });
  expect(await sendoff("replay", "1", "--session", "x")).toMatchObject({ status: 2 });
  // What cannot be delivered is told by the exit status.
  expect(await sendoff("replay", first.id)).toMatchObject({
    status: 1,
    out: expect.stringContaining("failed"),
  });
});

test("reconcile finds what a receiver does not hold, and sends it again", async () => {
  const sink = await startSink();
  await webhook(sink.url);
  await sendoff("trigger", "text", "--session-id", "held-1");
  const day = (offset: number): string => new Date(Date.now() + offset * 86_400_000).toISOString();
  const window = ["--from", new Date(Date.now() - 60_000).toISOString(), "--to", day(1)];
  const held = join(folder, "held.jsonl");
  const { rows } = await server.pool.query<{ session_id: string; event: string }>(
    `SELECT payload::json ->> 'sessionId' AS session_id, event FROM events
       WHERE payload NOT LIKE '%"held-1"%' OR event = 'session.ended'`,
  );
  await writeFile(held, rows.map((row) => JSON.stringify([row.session_id, row.event])).join("\n"));
  const found = await sendoff("reconcile", ...window, "--held", held);
  expect(found, found.err).toMatchObject({
    status: 1,
    out: expect.stringMatching(/session\.finalized +held-1 +delivered/),
  });
  const resent = await sendoff("reconcile", ...window, "--held", held, "--resend", "--json");
  expect(resent.status).toBe(0);
  expect(lines(resent.out)).toMatchObject([
    { sessionId: "held-1", event: "session.finalized", resent: true },
  ]);
  await sink.arrived(3);
  await sink.close();
  await writeFile(held, '[["a","session.ended"],["b","x"]]');
  expect(await sendoff("reconcile", ...window, "--held", held)).toMatchObject({
    status: 2,
    err: expect.stringContaining("422 invalid_body"),
  });
  await writeFile(held, '["a"]\n');
  expect(await sendoff("reconcile", ...window, "--held", held)).toMatchObject({
    status: 2,
    err: expect.stringContaining("Expected is one"),
  });
  expect(await sendoff("reconcile", ...window, "--held", "/nonexistent")).toMatchObject({
    status: 2,
    err: expect.stringContaining("ENOENT"),
  });
});

test("projects are listed and created, and the keys in use are told without being shown", async () => {
  const created = await sendoff("projects", "create", "Clinic", "--json");
  const [project] = lines(created.out);
  expect(project).toMatchObject({ name: "Clinic", key: expect.stringMatching(/^sk_/) });
  expect((await sendoff("projects")).out).toMatch(/^id +name +created at\n.*Clinic/s);
  const asProject = await run(["projects", "create", "No"], {
    SENDOFF_DATA: server.dataFolder,
    SENDOFF_KEY: server.projectKey,
  });
  expect(asProject).toMatchObject({ status: 2, err: expect.stringContaining("developer_key_needed") });
  expect(await sendoff("projects", "create")).toMatchObject({
    status: 2,
    err: expect.stringContaining("missing required argument"),
  });

  const keys = lines((await sendoff("connection", "--json")).out);
  expect(keys).toMatchObject([
    { kind: "developer", works: true },
    { kind: "project", works: true, projects: [server.projectId] },
  ]);
  const shown = (await sendoff("connection")).out;
  expect(shown).not.toContain(server.developerKey);
  expect(shown).not.toContain(server.projectKey);
  const wrong = await run(["connection"], {
    SENDOFF_DATA: server.dataFolder,
    SENDOFF_KEY: `sk_${"x".repeat(43)}`,
  });
  expect(wrong).toMatchObject({ status: 1, out: expect.stringContaining("wrong_key") });
  const rotated = await sendoff("secret", "rotate", "--overlap", "0s");
  expect(rotated.out).toMatch(/^whsec_\S+\n$/);
  expect(rotated.err).toContain("The old one signs no more.");
});

test("each command shows examples, and a missing server is told in one sentence", async () => {
  for (const name of [
    ...["listen", "trigger", "check", "logs", "replay", "reconcile", "projects"],
    ...["connection", "secret", "keys"],
  ]) {
    expect((await run([name, "--help"])).out, name).toContain("Examples:\n  $ sendoff");
  }
  const away = { SENDOFF_API_URL: "http://127.0.0.1:9", SENDOFF_KEY: "sk_x" };
  expect(await run(["connection"], away)).toMatchObject({
    status: 2,
    err: expect.stringContaining("does not answer (ECONNREFUSED)"),
  });
  expect(await run(["logs"])).toMatchObject({ status: 2, err: expect.stringMatching(/^No server found: /) });
});
