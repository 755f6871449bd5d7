// What bounds uploads: size, rate, time, places and room of each project, and the disk's reserve. Each is refused with a
// sentence, leaves nothing, and other projects do not notice.
import { readdir, statfs } from "node:fs/promises";
import type { Server } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { toneWav } from "../../../test/audio.ts";
import { putAudio } from "../../../test/recordings.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { held, type LoneUploads, send, startUploads } from "../../../test/uploads.ts";
import { readConfig } from "../src/config.ts";
import { closeHttp } from "../src/http/listen.ts";
import { newObjectKey } from "../src/recordings/keys.ts";
import { Pace } from "../src/recordings/pace.ts";
import { mayTake } from "../src/recordings/places.ts";
import { beginUpload, readUse, takeRoom } from "../src/recordings/table.ts";

let server: TestServer;
let other: string;
const servers: Server[] = [];
const wav = toneWav(1);
const kib = 1_024;
const mib = 2 ** 20;

beforeAll(async () => {
  server = await startTestServer();
  const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
  other = body.data.id;
});
afterAll(() => server?.stop());
afterEach(async () => {
  for (const one of servers.splice(0)) await closeHttp(one);
});

async function lone(more: Parameters<typeof startUploads>[1]): Promise<LoneUploads> {
  const started = await startUploads(server, more);
  servers.push(started.http);
  return started;
}

/** Files of uploads under way. */
const unfinished = async (): Promise<number> =>
  (await readdir(join(server.dataFolder, "recordings", ".unfinished")).catch(() => [])).length;
const rowsOf = async (sessionId: string): Promise<number> =>
  (await server.pool.query("SELECT FROM recordings WHERE session_id = $1", [sessionId])).rowCount ?? 0;

/** A WAV of so many bytes, whose length no header tells. */
function streamed(bytes: number, pauseMs = 0, piece = 64 * kib): ReadableStream<Uint8Array> {
  let sent = 0;
  return new ReadableStream({
    async pull(controller) {
      if (sent === 0) controller.enqueue(wav.subarray(0, 44));
      else controller.enqueue(new Uint8Array(Math.min(piece, bytes - sent)));
      sent += sent === 0 ? 44 : Math.min(piece, bytes - sent);
      if (sent >= bytes) controller.close();
      else if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    },
  });
}

async function expectNothing(sessionId: string, use: number): Promise<void> {
  await until("its file is gone", async () => (await unfinished()) === 0);
  expect(await rowsOf(sessionId)).toBe(0);
  expect(await readUse(server.pool, server.projectId)).toBe(use);
}

describe("an upload", () => {
  test("that is larger than it may be is refused by its length at once, and without one as soon as it is", async () => {
    const { url } = await lone({ limits: { bytesMax: mib } });
    const use = await readUse(server.pool, server.projectId);
    for (const body of [new Uint8Array(mib + 1), streamed(2 * mib)]) {
      const answer = await send(`${url}/large`, body);
      expect(answer).toMatchObject({ status: 413, code: "body_too_large" });
      expect(answer.message).toContain("more than 1 MiB (SENDOFF_UPLOAD_BYTES_MAX)");
      await expectNothing("large", use);
    }
    expect((await send(`${url}/just`, streamed(mib))).status).toBe(200);
  });

  test("that drips is ended although bytes come all the time", async () => {
    const { url } = await lone({ windowMs: 400, limits: { rate: { least: 100 * kib, most: 2 ** 30 } } });
    const use = await readUse(server.pool, server.projectId);
    const answer = await send(`${url}/drip`, streamed(10 * mib, 20, 100));
    expect(answer).toMatchObject({ status: 408, code: "upload_stalled" });
    expect(answer.message).toContain("expected 100 KiB a second (SENDOFF_UPLOAD_RATE) over each 0.4 s");
    await expectNothing("drip", use);
  });

  test("that comes fast enough but does not end is ended when its time is over", async () => {
    const { url } = await lone({ limits: { timeMaxMs: 700 } });
    const use = await readUse(server.pool, server.projectId);
    const answer = await send(`${url}/endless`, streamed(2 ** 40, 10));
    expect(answer).toMatchObject({ status: 408, code: "upload_stalled" });
    expect(answer.message).toContain("was not over after 0.7 s (SENDOFF_UPLOAD_TIME_MAX)");
    await expectNothing("endless", use);
  });

  test("is not read faster than its project may bring bytes, and other projects have a rate of their own", async () => {
    const { url } = await lone({ limits: { rate: { least: 1, most: 4 * mib } } });
    const fromMs = performance.now();
    const mine = Promise.all(
      ["fast-1", "fast-2"].map((name) => send(`${url}/${name}`, streamed(2 * mib + 44))),
    );
    const theirs = await send(`${url}/fast-3?project=${other}`, streamed(mib));
    const theirsMs = performance.now() - fromMs;
    expect(theirs.status).toBe(200);
    expect((await mine).map(({ status }) => status)).toEqual([200, 200]);
    // 4 MiB at 4 MiB a second; the last pieces need not be waited for.
    expect(performance.now() - fromMs).toBeGreaterThan(900);
    expect(theirsMs).toBeLessThan(performance.now() - fromMs);
  });
});

describe("places", () => {
  test("are bounded for each project, and those of another project stay", async () => {
    const { url } = await lone({ limits: { projectMax: 3 } });
    const slow = Array.from({ length: 3 }, () => held(wav.subarray(0, 5_000), wav));
    const taken = slow.map(({ body }, n) => send(`${url}/place-${n}`, body));
    await until("all are under way", async () => (await unfinished()) === 3);
    const refused = await send(`${url}/place-x`, wav);
    expect(refused).toMatchObject({ status: 503, code: "overloaded" });
    expect(refused.message).toContain("at most 3 of a project");
    expect((await send(`${url}/place-y?project=${other}`, wav)).status).toBe(200);
    for (const { goOn } of slow) goOn();
    expect((await Promise.all(taken)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await send(`${url}/place-z`, wav)).status).toBe(200);
  });

  test("are left for newcomers however many projects take all that they can", () => {
    const held = new Map<number, number>();
    let free = 64;
    for (let project = 0; project < 5; project++) {
      while (mayTake(held.get(project) ?? 0, free, 16)) {
        held.set(project, (held.get(project) ?? 0) + 1);
        free -= 1;
      }
    }
    expect([...held.values()]).toEqual([16, 16, 16, 8, 4]);
    expect(free).toBe(4);
  });
});

describe("the room of a project", () => {
  test("counts what is stored and what is under way, and is given back by erasing", async () => {
    const use = await readUse(server.pool, other);
    const { url } = await lone({ limits: { projectBytesMax: use + 3 * wav.length } });
    const at = (sessionId: string): string => `${url}/${sessionId}?project=${other}`;
    expect((await send(at("room-1"), wav)).status).toBe(200);
    const second = held(wav.subarray(0, 5_000), wav.subarray(5_000));
    const answer = send(at("room-2"), second.body);
    await until("it holds room", async () => (await readUse(server.pool, other)) > use + wav.length);
    // By its length alone: nothing of it is read.
    const refused = await send(at("room-3"), toneWav(2.5));
    expect(refused).toMatchObject({ status: 507, code: "storage_full" });
    expect(refused.message).toContain("SENDOFF_PROJECT_RECORDINGS_MAX");
    second.goOn();
    expect((await answer).status).toBe(200);
    expect(await readUse(server.pool, other)).toBe(use + 2 * wav.length);
    expect((await send(at("room-4"), streamed(wav.length + 1))).code).toBe("storage_full");
    expect(await readUse(server.pool, other)).toBe(use + 2 * wav.length);
    expect((await send(at("room-5"), streamed(wav.length))).status).toBe(200);
    await server.pool.query("DELETE FROM recordings WHERE session_id LIKE 'room-%'");
    expect(await readUse(server.pool, other)).toBe(use);
  });

  test("is exact when many take of it at once", async () => {
    const places = Array.from({ length: 20 }, (_, n) => ({
      projectId: other,
      sessionId: `at-once-${n}`,
      objectKey: newObjectKey(other, `at-once-${n}`, "wav"),
    }));
    await Promise.all(places.map((place) => beginUpload(server.pool, place)));
    const use = await readUse(server.pool, other);
    const taken = await Promise.all(places.map((place) => takeRoom(server.pool, place, 10, use + 75)));
    expect(taken.filter((one) => one).length).toBe(7);
    expect(await readUse(server.pool, other)).toBe(use + 70);
    await server.pool.query("DELETE FROM recordings WHERE session_id LIKE 'at-once-%'");
    expect(await readUse(server.pool, other)).toBe(use);
  });

  test("is given back with an erased session, while the numbers of its audio stay", async () => {
    const use = await readUse(server.pool, server.projectId);
    await putAudio(server, "given-back", wav);
    expect(await readUse(server.pool, server.projectId)).toBe(use + wav.length);
    await server.api("DELETE", `/v1/projects/${server.projectId}/sessions/given-back`);
    expect(await readUse(server.pool, server.projectId)).toBe(use);
    const { rows } = await server.pool.query("SELECT bytes FROM recordings WHERE session_id = 'given-back'");
    expect(rows).toEqual([{ bytes: wav.length }]);
  });
});

describe("the disk's reserve", () => {
  test("is kept: an upload that would touch it is refused by its length, or as soon as it would", async () => {
    const { bavail, bsize } = await statfs(server.dataFolder);
    const free = bavail * bsize;
    const use = await readUse(server.pool, server.projectId);
    const small = await lone({ reserveBytes: free + 2 ** 40 });
    const refused = await send(`${small.url}/reserve-1`, wav);
    expect(refused).toMatchObject({ status: 507, code: "storage_full" });
    expect(refused.message).toContain("are kept for PostgreSQL (SENDOFF_DISK_RESERVE)");
    // Room for 40 MiB, as far as nobody else changes it meanwhile.
    const { url } = await lone({ reserveBytes: free - 40 * mib });
    expect(await send(`${url}/reserve-2`, streamed(2 ** 30))).toMatchObject({ code: "storage_full" });
    await expectNothing("reserve-1", use);
    await expectNothing("reserve-2", use);
  });

  test("counts what other uploads of the process were granted and have not written", async () => {
    const { bavail, bsize } = await statfs(server.dataFolder);
    const { createDiskSpace } = await import("../src/recordings/disk-space.ts");
    // Each file is granted 4 MiB before its first byte; between them there is room for some and not for all.
    const space = createDiskSpace(server.dataFolder, bavail * bsize - 400 * mib);
    const files = Array.from({ length: 200 }, () => space.begin());
    const taken = await Promise.allSettled(files.map((file) => file.take(1)));
    expect(taken.some(({ status }) => status === "fulfilled")).toBe(true);
    expect(taken.some(({ status }) => status === "rejected")).toBe(true);
    for (const file of files) file.end();
    await space.begin().take(1);
  });
});

test("a window of waiting that brought enough is followed by another, and our own slowness does not count", () => {
  const pace = new Pace(1_000, 100);
  pace.waited(999);
  expect([pace.leftMs, pace.over()]).toEqual([1, false]);
  pace.came(100);
  pace.waited(1);
  expect(pace.over()).toBe(false);
  expect(pace.leftMs).toBe(1_000);
  pace.came(99);
  pace.waited(1_000);
  expect(pace.over()).toBe(true);
});

test("each limit is a setting, and a wrong one is refused with what was expected", () => {
  const { uploads, diskReserveBytes } = readConfig({});
  expect(uploads).toEqual({
    bytesMax: 2 ** 30,
    timeMaxMs: 7_200_000,
    rate: { least: kib, most: 32 * mib },
    projectMax: 16,
    projectBytesMax: 100 * 2 ** 30,
  });
  expect(diskReserveBytes).toBe(2 * 2 ** 30);
  expect(readConfig({ SENDOFF_UPLOAD_RATE: "2KiB:1MiB" }).uploads.rate).toEqual({
    least: 2 * kib,
    most: mib,
  });
  for (const [name, value, expected] of [
    ["SENDOFF_UPLOAD_BYTES_MAX", "1G", "a whole number above 0 and a unit"],
    ["SENDOFF_PROJECT_RECORDINGS_MAX", "0GiB", "a whole number above 0 and a unit"],
    ["SENDOFF_DISK_RESERVE", "-1GiB", "a whole number above 0 and a unit"],
    ["SENDOFF_UPLOAD_RATE", "1MiB:1KiB", "at least and, after a colon"],
    ["SENDOFF_UPLOAD_RATE", "1KiB", "at least and, after a colon"],
    ["SENDOFF_UPLOAD_TIME_MAX", "2d", "from 1s to 1d"],
    ["SENDOFF_PROJECT_UPLOADS_MAX", "0", "from 1 to 64"],
  ] as const) {
    expect(() => readConfig({ [name]: value })).toThrow(`${name} is ${JSON.stringify(value)}; expected`);
    expect(() => readConfig({ [name]: value })).toThrow(expected);
  }
});
