// npm start as an operator runs it: below npm and a shell, with its output collected in one file.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type FirstStart,
  isRunning,
  newFolder,
  processTree,
  type SendoffProcess,
  startProcess,
} from "../../../test/process.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

const root = resolve(import.meta.dirname, "../../..");
let folder: string;
let logFile: string;
let env: Record<string, string>;
let sink: Sink;
/** Attempts that the sink holds back. */
let held: ServerResponse[] = [];
/** npm and all below it, as it was before the signal: what outlives npm is below it no more. */
let tree: number[] = [];
let again: SendoffProcess | undefined;

beforeAll(async () => {
  sink = await startSink((response) => void held.push(response));
});
afterAll(() => sink.close());
beforeEach(async () => {
  folder = await newFolder();
  logFile = join(mkdtempSync(join(tmpdir(), "sendoff-test-log-")), "log");
  env = { SENDOFF_DATA: join(folder, "data"), PORT: "0" };
  held = [];
});
afterEach(async () => {
  for (const response of held) response.end();
  for (const pid of tree.splice(0).filter(isRunning)) process.kill(pid, "SIGKILL");
  await again?.end("SIGTERM");
  again = undefined;
  for (const path of [folder, resolve(logFile, "..")]) rmSync(path, { recursive: true, force: true });
});

const log = (): string => readFileSync(logFile, "utf8");
const startFile = (): FirstStart =>
  JSON.parse(readFileSync(join(env.SENDOFF_DATA ?? "", "start.json"), "utf8")) as FirstStart;

/** `npm start > log 2>&1 &`, in a process group of its own, as a shell starts what it runs. */
async function startNpm(): Promise<ChildProcess> {
  const file = openSync(logFile, "w");
  const started = spawn("npm", ["start"], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", file, file],
    detached: true,
  });
  await until(
    "npm start runs",
    () => {
      if (started.exitCode !== null) throw new Error(`npm start ended with ${started.exitCode}:\n${log()}`);
      return log().includes("Ctrl-C ends it.");
    },
    60_000,
  );
  tree = processTree(started.pid ?? 0);
  return started;
}

async function call(start: FirstStart, path: string, method: string, body: unknown): Promise<void> {
  const answer = await fetch(`${start.apiUrl}/v1/projects/${start.projectId}${path}`, {
    method,
    headers: { authorization: `Bearer ${start.projectKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(answer.status, await answer.text()).toBe(200);
}

async function reportToSink(start: FirstStart): Promise<void> {
  await call(start, "/agent", "PATCH", {
    postSessionWebhook: { url: sink.url, events: ["session.finalized"], delivery: { timeout: "20s" } },
  });
  const ended = { channel: "text", currentNodeId: "bye", messagesCount: 1, extractedVariables: {} };
  await call(start, "/sessions/drained/conversation-ended", "POST", ended);
  await until("the attempt is under way", () => held.length === 1);
}

describe("npm start, with its output in a file", () => {
  test.each([
    // What kill and a service manager do: npm alone is told.
    { how: "SIGTERM to npm", signal: "SIGTERM", says: "SIGTERM", whole: false },
    // What a terminal does: everybody in the foreground is told, and npm hands it on once more.
    { how: "Ctrl-C", signal: "SIGINT", says: "Ctrl-C", whole: true },
  ] as const)(
    "$how drains what is under way and ends every process, and no key is in the log",
    async (one) => {
      const child = await startNpm();
      const start = startFile();
      await reportToSink(start);
      // npm, start.mjs, its child and PostgreSQL with processes of its own.
      expect(tree.length).toBeGreaterThan(5);
      const ended = once(child, "exit");
      process.kill(one.whole ? -(child.pid ?? 0) : (child.pid ?? 0), one.signal);
      await until("it drains", () => log().includes(`${one.says}: finishing what is under way`));
      await until("it is draining", () => log().includes('"event":"sendoff.draining"'));
      expect(child.exitCode).toBe(null);
      held[0]?.end();
      expect(await ended).toEqual([0, null]);
      expect(tree.filter(isRunning)).toEqual([]);
      expect(log()).toContain("Sendoff has ended.");

      expect(log()).not.toMatch(/[sd]k_[\w-]{10}/);
      for (const secret of [start.projectKey, start.developerKey, tokenOf(start.signInUrl ?? "")]) {
        expect(secret.length).toBeGreaterThan(20);
        expect(log()).not.toContain(secret);
      }
      expect(log()).not.toContain(start.inspectorUrl);
      expect(log()).toContain(`cat ${join(env.SENDOFF_DATA ?? "", "start.json")}`);

      // The attempt was not cut: it is in the log as delivered, and nothing is sent again.
      again = await startProcess(env);
      const rows = await fetch(
        `${again.start.apiUrl}/v1/projects/${start.projectId}/webhook-logs?sessionId=drained`,
        { headers: { authorization: `Bearer ${start.projectKey}` } },
      );
      const { data } = (await rows.json()) as { data: Array<{ attempt: number; outcome: string }> };
      expect(data.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([[1, "delivered"]]);
    },
  );
});

const tokenOf = (signInUrl: string): string => signInUrl.split("token=")[1] ?? "";
