import { readFileSync } from "node:fs";
import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { StartFile } from "@sendoff/contract";
import { postUrl } from "@sendoff/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newFolder, runSendoff, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { until } from "../../../test/until.ts";

let dataFolder: string;
let env: Record<string, string>;
const running: SendoffProcess[] = [];

beforeEach(async () => {
  dataFolder = await newFolder();
  env = { SENDOFF_DATA: join(dataFolder, "data"), PORT: "0" };
});
afterEach(async () => {
  for (const one of running.splice(0)) if (one.child.exitCode === null) await one.end("SIGTERM");
  await rm(dataFolder, { recursive: true, force: true });
});

async function start(more: Record<string, string> = {}): Promise<SendoffProcess> {
  const one = await startProcess({ ...env, ...more });
  running.push(one);
  return one;
}

const api = (one: SendoffProcess, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(one.start.apiUrl + path, {
    ...init,
    headers: { authorization: `Bearer ${one.start.developerKey}`, "content-type": "application/json" },
  });

/** Whether a process runs. A zombie has ended: only its parent, which was killed, never asked for it. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

describe("sendoff start, on a machine with Node alone", () => {
  test("prints where it is, with no key, and writes start.json for its owner alone; keys and inspector work", async () => {
    const one = await start();
    const file = join(env.SENDOFF_DATA ?? "", "start.json");
    expect(StartFile.parse(JSON.parse(await readFile(file, "utf8")))).toEqual(one.start);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    for (const value of [one.start.apiUrl, one.start.projectId, `Written to     ${file}`, `cat ${file}`]) {
      expect(one.output()).toContain(value);
    }
    // Standard output is for whoever collects the log: nothing but lines of JSON.
    const events = one
      .log()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).event);
    expect(events).toContain("sendoff.started");
    expect((await api(one, "/readyz")).status).toBe(200);
    const sessions = `/v1/projects/${one.start.projectId}/sessions`;
    const body = JSON.stringify({
      channel: "text",
      currentNodeId: "a",
      messagesCount: 1,
      extractedVariables: {},
    });
    expect((await api(one, `${sessions}/s-1/conversation-ended`, { method: "POST", body })).status).toBe(200);
    await until("the inspector has both webhooks", async () => {
      const arrived = (await (await fetch(one.start.inspectorUrl)).json()) as { data: unknown[] };
      return arrived.data.length === 2;
    });
    const page = await fetch(one.start.inspectorUrl, { headers: { accept: "text/html" } });
    expect(page.headers.get("content-type")).toContain("text/html");
    expect(await page.text()).toContain("session.finalized");
  });

  test("a second start finds its data, also on another port; Ctrl-C ends it and PostgreSQL", async () => {
    const one = await start();
    const project = one.start.projectId;
    await api(one, `/v1/projects/${project}/sessions`, {
      method: "POST",
      body: JSON.stringify({ sessionId: "kept", channel: "text" }),
    });
    const pidFile = join(env.SENDOFF_DATA ?? "", "postgres/postmaster.pid");
    const postmaster = Number((await readFile(pidFile, "utf8")).split("\n")[0]);
    expect(isAlive(postmaster)).toBe(true);
    expect(await one.end("SIGINT")).toBe(0);
    expect(isAlive(postmaster)).toBe(false);

    const two = await start();
    expect(two.start).toMatchObject({
      projectId: project,
      projectKey: one.start.projectKey,
      developerKey: one.start.developerKey,
    });
    const kept = await api(two, `/v1/projects/${project}/sessions/kept`);
    expect(kept.status).toBe(200);
    const agent = (await (await api(two, `/v1/projects/${project}/agent`)).json()) as {
      data: { postSessionWebhook: { url: string } };
    };
    expect(agent.data.postSessionWebhook.url).toBe(postUrl(two.start.inspectorUrl));
  });

  test("a second start while the first runs says so, and leaves the first alone", async () => {
    const one = await start();
    const second = await runSendoff(["start"], env);
    expect(second.code).toBe(2);
    expect(second.output).toContain("Another Sendoff runs with the data folder");
    expect((await api(one, "/readyz")).status).toBe(200);
  });

  test("after kill -9 the next start takes the orphaned PostgreSQL over and ends it in the end", async () => {
    const one = await start();
    const postmaster = Number(
      (await readFile(join(env.SENDOFF_DATA ?? "", "postgres/postmaster.pid"), "utf8")).split("\n")[0],
    );
    expect(await one.end("SIGKILL")).toBe("SIGKILL");
    expect(isAlive(postmaster)).toBe(true);
    const two = await start();
    expect(two.start.projectId).toBe(one.start.projectId);
    expect(await two.end("SIGTERM")).toBe(0);
    expect(isAlive(postmaster)).toBe(false);
  });

  test("PORT is honoured, and a port that is taken is named", async () => {
    const one = await start();
    const port = new URL(one.start.apiUrl).port;
    const other = await newFolder();
    const taken = await runSendoff(["start"], { SENDOFF_DATA: join(other, "data"), PORT: port });
    expect(taken.code).toBe(2);
    expect(taken.output).toContain(`port ${port} already`);
    await one.end("SIGTERM");
    const two = await start({ PORT: port });
    expect(two.start.apiUrl).toBe(`http://127.0.0.1:${port}`);
    await rm(other, { recursive: true, force: true });
  });

  test("every wrong setting is told at once, with what was expected", async () => {
    const { code, output } = await runSendoff(["start"], {
      ...env,
      PORT: "99999",
      SENDOFF_ALLOW_HTTP: "some",
      SENDOFF_ALOW_HTTP: "all",
      SENDOFF_SECRET_KEY: "too short",
    });
    expect(code).toBe(2);
    expect(output).toContain('PORT is "99999"; expected a port from 0 to 65535');
    expect(output).toContain('SENDOFF_ALLOW_HTTP is "some"; expected none, loopback or all');
    expect(output).toContain("SENDOFF_ALOW_HTTP is not a setting");
    expect(output).toContain("SENDOFF_SECRET_KEY is (not shown)");
    expect(output).not.toContain("too short");
  });
});
