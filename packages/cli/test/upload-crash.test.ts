import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toneWav } from "../../../test/audio.ts";
import { createTestDatabase, type TestDatabase } from "../../../test/database.ts";
import { newFolder, type SendoffProcess, startProcess } from "../../../test/process.ts";
import { putAudio } from "../../../test/recordings.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { until } from "../../../test/until.ts";

// Uploads against processes as a user runs them: what they take of memory, and what a kill -9 in their middle leaves.

const mebibyte = 1 << 20;
let database: TestDatabase;
let dataFolder: string;
let env: Record<string, string>;
let sink: Sink;
let api: SendoffProcess;

beforeAll(async () => {
  database = await createTestDatabase();
  dataFolder = await newFolder();
  env = { DATABASE_URL: database.url, SENDOFF_DATA: dataFolder, SENDOFF_ALLOW_HTTP: "loopback", PORT: "0" };
  sink = await startSink();
  api = await startProcess(env, "api");
  const postSessionWebhook = { url: sink.url, events: ["recording.ready"] };
  await fetch(`${api.start.apiUrl}/v1/projects/${api.start.projectId}/agent`, {
    method: "PATCH",
    headers: { authorization: `Bearer ${api.start.projectKey}`, "content-type": "application/json" },
    body: JSON.stringify({ postSessionWebhook }),
  });
});
afterAll(async () => {
  await api?.end("SIGTERM");
  await sink?.close();
  await database?.drop();
  await rm(dataFolder, { recursive: true, force: true });
});

/** So many MiB of a WAV file, and whatever is done before its last one. */
function audioOf(mebibytes: number, beforeLast: () => Promise<void> = async () => {}): ReadableStream {
  const piece = Buffer.alloc(mebibyte, "audio");
  async function* pieces(): AsyncGenerator<Buffer> {
    yield toneWav(1);
    for (let n = 1; n < mebibytes; n++) yield piece;
    await beforeLast();
    yield piece;
  }
  return Readable.toWeb(Readable.from(pieces(), { highWaterMark: 1 })) as ReadableStream;
}

/** Resident memory of a process in MiB, and the most that it ever was. */
async function memoryOf(pid: number | undefined): Promise<{ now: number; most: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1_024;
  return { now: of("VmRSS"), most: of("VmHWM") };
}

const unfinished = (): Promise<string[]> =>
  readdir(join(dataFolder, "recordings", ".unfinished")).catch(() => []);

async function wholeFiles(): Promise<string[]> {
  const names = await readdir(join(dataFolder, "recordings"), { recursive: true });
  return names.filter((name) => name.endsWith(".wav"));
}

test("an upload of 64 MiB is never whole in memory", async () => {
  await putAudio(api.start, "warm-up", audioOf(8));
  const before = await memoryOf(api.child.pid);
  const answer = await putAudio(api.start, "large", audioOf(64));
  expect(answer.body.data.recording.bytes).toBeGreaterThan(64 * mebibyte);
  const after = await memoryOf(api.child.pid);
  console.log(`RSS ${before.now.toFixed(0)} MiB before, at most ${after.most.toFixed(0)} MiB`);
  expect(after.most - before.most).toBeLessThan(40);
  expect(after.most).toBeLessThan(200);
});

test("after kill -9 in the middle there is no event, nothing to be read, and after the next start no file", async () => {
  const cut = putAudio(
    api.start,
    "cut",
    audioOf(16, () => new Promise(() => {})),
  ).catch(() => null);
  await until("the file grows", async () => (await unfinished()).length === 1);
  const before = await wholeFiles();
  expect(await api.end("SIGKILL")).toBe("SIGKILL");
  expect(await cut).toBeNull();
  expect((await unfinished()).length).toBe(1);
  expect(await wholeFiles()).toEqual(before);
  api = await startProcess(env, "api");
  expect(await unfinished()).toEqual([]);
  expect(await wholeFiles()).toEqual(before);
  const { rows } = await database.pool.query("SELECT FROM sessions WHERE session_id = 'cut'");
  expect(rows).toEqual([]);
  // The row that tells of it is there, so that the round of retention looks for what a bucket may have of it.
  const left = await database.pool.query("SELECT kept FROM recordings WHERE session_id = 'cut'");
  expect(left.rows).toEqual([{ kept: false }]);
  const again = await putAudio(api.start, "cut", toneWav(1));
  expect(again.body.data.events).toContain("recording.ready");
});

test("a process that is told to end lets a short upload end", async () => {
  let goOn = (): void => {};
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const answer = putAudio(
    api.start,
    "drained",
    audioOf(4, () => held),
  );
  await until("it is under way", async () => (await unfinished()).length === 1);
  const ended = api.end("SIGTERM");
  await until("it drains", () => api.output().includes("sendoff.draining"));
  goOn();
  expect((await answer).status).toBe(200);
  expect(await ended).toBe(0);
  expect(await unfinished()).toEqual([]);
  api = await startProcess(env, "api");
});
