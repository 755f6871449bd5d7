import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { realRecordings } from "../../../test/audio.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { main } from "../src/main.ts";
import { demoCalls, recordingsOf } from "../src/simulate/audio.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server?.stop());

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test("a demo call is stereo Ogg with Opus, has a length that fits, and is the same for a repeat", async () => {
  const calls = demoCalls();
  const audio = Buffer.from(await calls.of("call-1", 7));
  expect(audio.toString("latin1", 0, 4)).toBe("OggS");
  const head = audio.indexOf("OpusHead");
  expect(audio[head + 9]).toBe(2);
  expect(sha256(await calls.of("call-1", 7))).toBe(sha256(audio));
  expect((await calls.of("call-2", 300)).length).toBeGreaterThan(audio.length);
});

test("making demo calls leaves the process its own answers to mistakes", async () => {
  const before = process.listenerCount("uncaughtException") + process.listenerCount("unhandledRejection");
  await demoCalls().of("call-1", 1);
  const after = process.listenerCount("uncaughtException") + process.listenerCount("unhandledRejection");
  expect(after).toBe(before);
});

test("the server hears a demo call as it is: its length, and a waveform in which two talk in turns", async () => {
  const audio = await demoCalls().of("call-1", 10);
  const path = `/v1/projects/${server.projectId}/sessions/demo-1/recording`;
  const put = await fetch(server.apiUrl + path, {
    method: "PUT",
    headers: { authorization: `Bearer ${server.projectKey}` },
    body: Buffer.from(audio),
  });
  const { recording } = ((await put.json()) as { data: { recording: Record<string, unknown> } }).data;
  expect(recording).toMatchObject({ contentType: "audio/ogg", sha256: sha256(audio) });
  let channels: number[][] = [];
  await until("the waveform is there", async () => {
    const { status, body } = await server.api("GET", `${path}/peaks`);
    if (status === 200) channels = body.data.channels;
    return status === 200;
  });
  const session = await server.api("GET", `/v1/projects/${server.projectId}/sessions/demo-1`);
  expect(session.body.data.recording.seconds).toBeCloseTo(10, 0);
  const [left = [], right = []] = channels;
  expect(left.length).toBe(right.length);
  const during = (side: number[], from: number, to: number): number =>
    Math.max(...side.slice((side.length * from) / 10, (side.length * to) / 10));
  // At so few bits a little of the one is heard on the side of the other.
  expect(during(left, 0.2, 1.8)).toBeGreaterThan(2 * during(right, 0.2, 1.8));
  expect(during(right, 2.7, 4.3)).toBeGreaterThan(2 * during(left, 2.7, 4.3));
  expect(during(left, 0.2, 1.8)).toBeGreaterThan(0.2);
});

test("recordings of a folder go to the sessions that they are named after, and to the others as they come", async () => {
  const calls = recordingsOf(realRecordings);
  const lines = (await readFile(join(realRecordings, "index.jsonl"), "utf8")).trim().split("\n");
  for (const line of lines) {
    const real = JSON.parse(line) as { sessionId: string; sha256: string };
    expect(sha256(await calls.of(`${real.sessionId}.2.abc123`, 3))).toBe(real.sha256);
  }
  expect(sha256(await calls.of("other", 3))).toBe(sha256(await calls.of("other", 3)));
});

test("a folder that is not there, or has no recordings, is named", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sendoff-test-audio-"));
  await writeFile(join(folder, "notes.txt"), "none");
  expect(() => recordingsOf(folder)).toThrow(`${folder} has no recordings: expected files of .mp3`);
  await rm(folder, { recursive: true });
  expect(() => recordingsOf(folder)).toThrow(`${folder} cannot be read`);
});

test("simulate uploads the recordings of a folder, and each session has one of them", async () => {
  let out = "";
  const io = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: () => {} },
    env: { SENDOFF_DATA: server.dataFolder },
  };
  const args = ["simulate", "--json", "--rate", "200", "--seed", "21", "--recordings", realRecordings];
  expect(await main(args, io)).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ ok: true, reports: { refused: 0 } });
  const { rows } = await server.pool.query(
    "SELECT content_type AS type, count(*) FROM recordings WHERE session_id LIKE 'demo-%.%' GROUP BY 1",
  );
  expect(rows.map(({ type }) => type)).toEqual(["audio/mpeg"]);
});
