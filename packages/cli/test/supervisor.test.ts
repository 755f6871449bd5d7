import { readdirSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newFolder, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { until } from "../../../test/until.ts";

let folder: string;
let sendoff: SendoffProcess;

beforeEach(async () => {
  folder = await newFolder();
  sendoff = await startProcess({ SENDOFF_DATA: join(folder, "data"), PORT: "0" });
});
afterEach(async () => {
  if (sendoff.child.exitCode === null && sendoff.child.signalCode === null) await sendoff.end("SIGTERM");
  await rm(folder, { recursive: true, force: true });
});

/** State and parent of a process, as Linux tells them; null when it is gone. */
function processState(pid: number): { state: string; parent: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state = "", parent = ""] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state, parent: Number(parent) };
  } catch {
    return null;
  }
}

const runs = (pid: number): boolean => !["Z", "X", undefined].includes(processState(pid)?.state);

/** The process that does the work: the child of `sendoff start` that is Node. */
function workerPid(): number {
  const children = readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && processState(pid)?.parent === sendoff.child.pid && runs(pid))
    .filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("child.js"));
  return children[0] ?? 0;
}

const isReady = async (): Promise<boolean> =>
  fetch(`${sendoff.start.apiUrl}/readyz`).then(
    (response) => response.ok,
    () => false,
  );

const postmasterPid = (): number =>
  Number(readFileSync(join(folder, "data/postgres/postmaster.pid"), "utf8").split("\n")[0]);

describe("sendoff start watches over its worker", () => {
  test("one that was stopped is killed before its leases end, and another takes its place at the same address", async () => {
    const stopped = workerPid();
    expect(stopped).toBeGreaterThan(0);
    process.kill(stopped, "SIGSTOP");
    const begunMs = performance.now();
    await until("the stopped one is gone", () => !runs(stopped));
    // A lease has 5 s beyond its attempt's own time.
    expect(performance.now() - begunMs).toBeLessThan(4_500);
    await until("another answers", isReady);
    expect(workerPid()).not.toBe(stopped);
  });

  test("one that was killed is started again", async () => {
    const killed = workerPid();
    process.kill(killed, "SIGKILL");
    await until(
      "another answers",
      async () => workerPid() > 0 && workerPid() !== killed && (await isReady()),
    );
  });

  test("a worker does not outlive its parent", async () => {
    const orphan = workerPid();
    const postmaster = postmasterPid();
    await sendoff.end("SIGKILL");
    await until("the worker is gone", () => !runs(orphan));
    // PostgreSQL goes on, for the next start to take over.
    expect(runs(postmaster)).toBe(true);
    sendoff = await startProcess({ SENDOFF_DATA: join(folder, "data"), PORT: "0" });
    expect(await isReady()).toBe(true);
  });
});

describe("sendoff start watches over its PostgreSQL", () => {
  test("while it is gone reports get 503, and it is started again within moments", async () => {
    const postmaster = postmasterPid();
    const send = (sessionId: string): Promise<number> =>
      fetch(`${sendoff.start.apiUrl}/v1/projects/${sendoff.start.projectId}/sessions`, {
        method: "POST",
        headers: { authorization: `Bearer ${sendoff.start.projectKey}`, "content-type": "application/json" },
        body: JSON.stringify({ sessionId, channel: "text" }),
      }).then((response) => response.status);
    expect(await send("before")).toBe(201);
    process.kill(postmaster, "SIGKILL");
    const statuses: number[] = [];
    await until("reports are taken again", async () => {
      statuses.push(await send(`during-${statuses.length}`));
      return statuses.at(-1) === 201 && postmasterPid() !== postmaster;
    });
    expect(new Set(statuses.slice(0, -1))).toEqual(new Set(statuses.length > 1 ? [503] : []));
    // Most reports of the last second may have been refused.
    await until("it is ready again", isReady, 4_000);
  });
});
