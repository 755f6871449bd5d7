// Recordings from the upload to the link that an endpoint gets, on the disk and in a bucket.
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { placeAudio, realRecordings, toneWav } from "../../../test/audio.ts";
import { type ClockedDatabase, createClockedDatabase } from "../../../test/database-clock.ts";
import { putAudio } from "../../../test/recordings.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { type Sink, startSink } from "../../../test/sink.ts";
import { type Swift, startSwift } from "../../../test/swift.ts";
import { until } from "../../../test/until.ts";
import { expectRefused } from "./refused.ts";

const minute = 60_000;
let sink: Sink;
let swift: Swift;

beforeAll(async () => {
  sink = await startSink();
  swift = await startSwift();
  for (const [name, value] of Object.entries(swift.env)) {
    if (name.startsWith("AWS_")) vi.stubEnv(name, value);
  }
});
afterAll(async () => {
  await sink?.close();
  await swift?.stop();
  vi.unstubAllEnvs();
});
beforeEach(() => {
  sink.received.length = 0;
});

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

interface Download {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Buffer;
}

async function download(url: string, headers: Record<string, string> = {}): Promise<Download> {
  const response = await fetch(url, { headers });
  return {
    status: response.status,
    headers: response.headers,
    bytes: Buffer.from(await response.arrayBuffer()),
  };
}

async function subscribe(server: TestServer, events = ["recording.ready"]): Promise<void> {
  const postSessionWebhook = { url: sink.url, events };
  const answer = await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, { postSessionWebhook });
  expect(answer.status).toBe(200);
}

const readyOf = (sessionId: string) =>
  sink.received.filter(({ json }) => json.sessionId === sessionId && json.event === "recording.ready");

async function linkOf(sessionId: string): Promise<string> {
  await until(`recording.ready of ${sessionId} arrives`, () => readyOf(sessionId).length > 0);
  return readyOf(sessionId)[0]?.json.recordingUrl;
}

const path = (server: TestServer, sessionId: string): string =>
  `/v1/projects/${server.projectId}/sessions/${sessionId}`;

/** Where a fresh link leads; its time tells how the server's clock stands. */
async function freshLink(server: TestServer, sessionId: string): Promise<URL> {
  const response = await fetch(`${server.apiUrl}${path(server, sessionId)}/recording`, {
    headers: { authorization: `Bearer ${server.projectKey}` },
    redirect: "manual",
  });
  expect(response.status).toBe(302);
  expect(response.headers.get("cache-control")).toBe("no-store");
  return new URL(response.headers.get("location") ?? "");
}

describe.each(["disk", "bucket"])("with recordings on %s", (store) => {
  let database: ClockedDatabase;
  let server: TestServer;
  beforeAll(async () => {
    database = await createClockedDatabase();
    const setting: Record<string, string> =
      store === "disk" ? {} : { SENDOFF_RECORDINGS: swift.env.SENDOFF_RECORDINGS ?? "" };
    server = await startTestServer({ DATABASE_URL: database.url, ...setting });
    await subscribe(server);
  });
  afterAll(async () => {
    await server?.stop();
    await database?.drop();
  });

  test("real recordings go in under a wrong type and come out of their links as they are", async () => {
    const lines = (await readFile(join(realRecordings, "index.jsonl"), "utf8")).trim().split("\n");
    expect(lines.length).toBe(15);
    for (const line of lines) {
      const real = JSON.parse(line) as {
        file: string;
        sessionId: string;
        bytes: number;
        seconds: number;
        sha256: string;
      };
      const audio = await readFile(join(realRecordings, real.file));
      const put = await putAudio(server, real.sessionId, audio, "audio/ogg");
      expect(put.status, JSON.stringify(put.body)).toBe(200);
      expect(put.body.data.recording).toMatchObject({
        contentType: "audio/mpeg",
        bytes: real.bytes,
        sha256: real.sha256,
        seconds: null,
      });
      const link = await linkOf(real.sessionId);
      const whole = await download(link);
      expect([whole.status, sha256(whole.bytes)]).toEqual([200, real.sha256]);
      expect(whole.headers.get("content-type")).toBe("audio/mpeg");
      expect(whole.headers.get("content-disposition")).toMatch(/^attachment; filename="getgoing-\w+\.mp3"$/);
      const half = Math.floor(real.bytes / 2);
      const middle = await download(link, { range: `bytes=${half}-` });
      expect(middle.status).toBe(206);
      expect(middle.headers.get("content-range")).toBe(`bytes ${half}-${real.bytes - 1}/${real.bytes}`);
      expect(middle.bytes.equals(audio.subarray(half))).toBe(true);
    }
    await until("all have their waveforms", async () => {
      const { rowCount } = await database.pool.query("SELECT FROM recordings WHERE peaks <> 'made'");
      return rowCount === 0;
    });
    for (const line of lines) {
      const real = JSON.parse(line) as { sessionId: string; seconds: number };
      const { body } = await server.api("GET", path(server, real.sessionId));
      expect(body.data.recording.seconds).toBe(real.seconds);
    }
    const last = JSON.parse(lines.at(-1) ?? "") as { sessionId: string; seconds: number };
    const { status, body } = await server.api("GET", `${path(server, last.sessionId)}/recording/peaks`);
    expect(status).toBe(200);
    expect(body.data.seconds).toBe(last.seconds);
    expect(body.data.channels.length).toBe(2);
    for (const parts of body.data.channels) expect(parts.length).toBeGreaterThan(1_000);
    expect(Math.max(...body.data.channels[0])).toBeGreaterThan(0.1);
  });

  test("O7: links follow the database's clock: at 14:59 one works, at 15:01 it is 403, and a resend carries a new one", async () => {
    const sessionId = `aged-${store}`;
    const audio = toneWav(1);
    await putAudio(server, sessionId, audio);
    const first = await linkOf(sessionId);
    // A bucket's service has a clock of its own: there it is the signing that is moved.
    const age = async (ms: number): Promise<string> => {
      const aheadMs = store === "disk" ? ms : -ms;
      await database.setAhead(aheadMs);
      let fresh: URL | undefined;
      await until("the server has seen the clock", async () => {
        fresh = await freshLink(server, sessionId);
        return Math.abs(beginOf(fresh) - Date.now() - aheadMs) < 1_500;
      });
      return store === "disk" ? first : String(fresh);
    };
    const young = await download(await age(15 * minute - 2_500));
    expect([young.status, sha256(young.bytes)]).toEqual([200, sha256(audio)]);
    const old = await download(await age(15 * minute + 2_500));
    expect(old.status).toBe(403);
    if (store === "disk") {
      expect(old.bytes.toString()).toMatch(
        /recording_link_invalid.*expired.*Ask GET .*recording\.ready sent again/,
      );
    }
    await age(20 * minute);
    const logs = await server.api(
      "GET",
      `/v1/projects/${server.projectId}/webhook-logs?sessionId=${sessionId}`,
    );
    const [log] = logs.body.data;
    if (store === "bucket") await age(0);
    await server.api("POST", `/v1/projects/${server.projectId}/webhook-logs/${log.id}/resend`);
    await until("the resend arrives", () => readyOf(sessionId).length === 2);
    const [before, again] = readyOf(sessionId);
    expect(again?.headers["webhook-id"]).toBe(before?.headers["webhook-id"]);
    expect(again?.json.recordingUrl).not.toBe(first);
    const anew = await download(again?.json.recordingUrl);
    expect([anew.status, sha256(anew.bytes)]).toEqual([200, sha256(audio)]);
    await database.setAhead(0);
  });

  test("one changed byte of a link is 403, wherever it is", async () => {
    const sessionId = `changed-${store}`;
    await putAudio(server, sessionId, toneWav(0.2));
    const link = await linkOf(sessionId);
    const from = link.indexOf("/", "http://".length) + 1;
    expect((await download(link)).status).toBe(200);
    const swapped = (at: number): string =>
      `${link.slice(0, at)}${link[at] === "1" ? "2" : "1"}${link.slice(at + 1)}`;
    const values = [...new URL(link).searchParams].filter(([name]) => /signature|expires|date/i.test(name));
    expect(values.length).toBeGreaterThanOrEqual(2);
    const places = [
      ...values.map(([, value]) => link.indexOf(value) + Math.floor(value.length / 2)),
      link.lastIndexOf(".wav") - 1,
    ];
    for (const at of places) {
      expect(at).toBeGreaterThan(from);
      const { status } = await download(swapped(at));
      expect(status === 403 || (store === "bucket" && status === 400), `${status} for ${swapped(at)}`).toBe(
        true,
      );
    }
  });

  test("M16: webhook_logs keep a link without what makes it work, and the session tells of the audio", async () => {
    const sessionId = `logged-${store}`;
    const audio = toneWav(0.5);
    await putAudio(server, sessionId, audio);
    const link = new URL(await linkOf(sessionId));
    let logs: Array<{ id: string }> = [];
    await until("the attempt is logged", async () => {
      const listed = await server.api(
        "GET",
        `/v1/projects/${server.projectId}/webhook-logs?sessionId=${sessionId}`,
      );
      logs = listed.body.data;
      return logs.length > 0;
    });
    const log = await server.api("GET", `/v1/projects/${server.projectId}/webhook-logs/${logs[0]?.id}`);
    expect(JSON.parse(log.body.data.requestBody).recordingUrl).toBe(link.origin + link.pathname);
    await until("it was examined", async () => {
      const { body } = await server.api("GET", path(server, sessionId));
      return body.data.recording.peaks === "made";
    });
    const { body } = await server.api("GET", path(server, sessionId));
    expect(body.data.recording).toMatchObject({
      success: true,
      contentType: "audio/wav",
      bytes: audio.length,
      sha256: sha256(audio),
      seconds: 0.5,
    });
    const listed = await server.api("GET", `/v1/projects/${server.projectId}/sessions?text=${sessionId}`);
    expect(listed.body.data[0].recording.sha256).toBe(sha256(audio));
  });

  test("P18: a key that leads elsewhere is 422 and nothing is touched; one without audio is 422 too", async () => {
    const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
    const before = await database.pool.query("SELECT count(*) FROM recordings");
    for (const objectKey of [
      "../../etc/passwd",
      `projects/${server.projectId}/../../../etc/passwd`,
      `projects/${body.data.id}/sessions/a.mp3`,
      "http://169.254.169.254/latest",
      "file:///etc/passwd",
      `projects/${server.projectId}/a.mp3?X-Amz-Signature=1`,
      "x".repeat(10_240),
    ]) {
      const report = { success: true, objectKey };
      const answer = await server.api("POST", `${path(server, "elsewhere")}/recording-processed`, report);
      expectRefused(answer, "invalid_body");
    }
    const report = { success: true, objectKey: `projects/${server.projectId}/calls/none.ogg` };
    const answer = await server.api("POST", `${path(server, "elsewhere")}/recording-processed`, report);
    expectRefused(answer, "recording_unreadable", "calls/none.ogg", "PUT .../recording");
    expectRefused(await server.api("GET", path(server, "elsewhere")), "session_not_found");
    expect((await database.pool.query("SELECT count(*) FROM recordings")).rows).toEqual(before.rows);
  });

  test("audio and waveform go with an erased session; size, length and hash stay", async () => {
    const sessionId = `erased-${store}`;
    const audio = toneWav(0.3);
    const { objectKey } = (await putAudio(server, sessionId, audio)).body.data.recording;
    const link = await linkOf(sessionId);
    const peaks = async () => (await server.api("GET", `${path(server, sessionId)}/recording/peaks`)).status;
    await until("its waveform is there", async () => (await peaks()) === 200);
    const erased = await server.api("DELETE", path(server, sessionId));
    expect(erased.body.data.erased.recording).toBe(true);
    expect((await download(link)).status).toBe(404);
    if (store === "disk") {
      const left = await readdir(join(server.dataFolder, "recordings"), { recursive: true });
      expect(left.filter((name) => name.includes(sessionId))).toEqual([]);
    }
    const { rows } = await database.pool.query(
      "SELECT object_key AS key, removed_at IS NOT NULL AS removed FROM recordings WHERE session_id = $1",
      [sessionId],
    );
    expect(rows).toEqual([{ key: "", removed: true }]);
    expect(objectKey).toContain(sessionId);
    const { body } = await server.api("GET", path(server, sessionId));
    expect(body.data.recording).toMatchObject({
      objectKey: null,
      bytes: audio.length,
      sha256: sha256(audio),
      seconds: 0.3,
      peaks: "none",
    });
    const gone = await server.api("GET", `${path(server, sessionId)}/recording`);
    expectRefused(gone, "recording_not_found", "it was erased");
    const refused = await putAudio(server, sessionId, audio);
    expect([refused.status, refused.body.error.code]).toEqual([409, "session_erased"]);
  });
});

/** When a link was made, by what it says of its end or its beginning. */
function beginOf(link: URL): number {
  const expires = link.searchParams.get("expires");
  if (expires !== null) return Number(expires) * 1_000 - 15 * minute;
  const [, year, month, day, hour, minutes, seconds] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(link.searchParams.get("X-Amz-Date") ?? "") ?? [];
  return Date.parse(`${year}-${month}-${day}T${hour}:${minutes}:${seconds}Z`);
}

describe("recording.ready on the wire", () => {
  let server: TestServer;
  const events = ["session.ended", "call.ended", "session.finalized", "recording.ready"];
  const ended = { channel: "call", currentNodeId: "bye", messagesCount: 2, extractedVariables: {} };
  const hungUp = { callStatus: "userHangup", callDuration: 3 };
  beforeAll(async () => {
    server = await startTestServer();
    await subscribe(server, events);
  });
  afterAll(() => server?.stop());

  const report = (sessionId: string, type: string, body: object) =>
    server.api("POST", `${path(server, sessionId)}/${type}`, body);
  const arrived = async (count: number): Promise<string[]> => {
    await until(`${count} events arrive`, () => sink.received.length >= count);
    return sink.received.map(({ json }) => json.event);
  };

  test("before the session has ended it comes at once, and the others come as ever", async () => {
    expect((await putAudio(server, "r-before", toneWav(0.1))).body.data.events).toContain("recording.ready");
    expect(await arrived(1)).toEqual(["recording.ready"]);
    await report("r-before", "conversation-ended", ended);
    await report("r-before", "call-ended", hungUp);
    expect(await arrived(4)).toEqual(["recording.ready", "session.ended", "call.ended", "session.finalized"]);
  });

  test("between the two ends it comes at once", async () => {
    await report("r-between", "conversation-ended", ended);
    await arrived(1);
    await putAudio(server, "r-between", toneWav(0.1));
    await arrived(2);
    await report("r-between", "call-ended", hungUp);
    expect(await arrived(4)).toEqual(["session.ended", "recording.ready", "call.ended", "session.finalized"]);
  });

  test("after session.finalized it comes at once", async () => {
    await report("r-after", "call-ended", hungUp);
    await report("r-after", "conversation-ended", ended);
    await arrived(3);
    await putAudio(server, "r-after", toneWav(0.1));
    expect(await arrived(4)).toEqual(["call.ended", "session.ended", "session.finalized", "recording.ready"]);
    await until(
      "all are settled",
      async () => (await server.pool.query("SELECT FROM deliveries")).rowCount === 0,
    );
  });

  test("what it needs to be true is true when it arrives: its link leads to the whole audio", async () => {
    const audio = toneWav(20);
    let seen: Promise<Download> | undefined;
    const eager = await startSink((response, { json }) => {
      seen = download(json.recordingUrl);
      response.end();
    });
    const postSessionWebhook = { url: eager.url, events: ["recording.ready"] };
    await server.api("PATCH", `/v1/projects/${server.projectId}/agent`, { postSessionWebhook });
    await putAudio(server, "r-eager", audio);
    await eager.arrived(1);
    expect(sha256((await seen)?.bytes ?? Buffer.alloc(0))).toBe(sha256(audio));
    await eager.close();
  });

  test("audio that lies in the store is reported by its key, examined, and told of", async () => {
    const objectKey = `projects/${server.projectId}/calls/2026/mine.wav`;
    const audio = toneWav(2, 2);
    const file = await placeAudio(server.dataFolder, objectKey, audio);
    const before = await report("r-key", "recording-processed", { success: true, objectKey });
    expect(before.body.data.events).toContain("recording.ready");
    const again = await report("r-key", "recording-processed", { success: true, objectKey });
    expect(again.body.data.duplicate).toBe(true);
    await until("it was examined", async () => {
      const { body } = await server.api("GET", path(server, "r-key"));
      return body.data.recording.peaks === "made";
    });
    const { body } = await server.api("GET", path(server, "r-key"));
    expect(body.data.recording).toMatchObject({
      objectKey,
      contentType: "audio/wav",
      bytes: audio.length,
      sha256: sha256(audio),
      seconds: 2,
    });
    const peaks = await server.api("GET", `${path(server, "r-key")}/recording/peaks`);
    expect(peaks.body.data.channels.map((parts: number[]) => Math.max(...parts))).toEqual([0.5, 0]);
    // A repeat is a repeat and a contradiction is one, also when the audio has gone.
    await server.api("DELETE", path(server, "r-key"));
    expect(existsSync(file)).toBe(false);
  });

  test("a repeat after the audio has gone is still a duplicate, and another key a contradiction", async () => {
    const objectKey = `projects/${server.projectId}/calls/gone.wav`;
    await placeAudio(server.dataFolder, objectKey);
    await report("r-gone", "recording-processed", { success: true, objectKey });
    await rm(join(server.dataFolder, "recordings", objectKey));
    const again = await report("r-gone", "recording-processed", { success: true, objectKey });
    expect([again.status, again.body.data.duplicate]).toEqual([200, true]);
    const other = `projects/${server.projectId}/calls/other.wav`;
    const contradicts = await report("r-gone", "recording-processed", { success: true, objectKey: other });
    expectRefused(contradicts, "report_contradicts", objectKey);
    expectRefused(
      await server.api("GET", `${path(server, "r-gone")}/recording`),
      "recording_not_found",
      "not in the store",
    );
  });

  test("without audio the link of a session says why", async () => {
    await report("r-failed", "recording-processed", { success: false, error: "the mixer failed" });
    await report("r-none", "call-ended", hungUp);
    for (const way of ["/recording", "/recording/peaks"]) {
      expectRefused(
        await server.api("GET", path(server, "r-failed") + way),
        "recording_not_found",
        "the mixer failed",
      );
      expectRefused(
        await server.api("GET", path(server, "r-none") + way),
        "recording_not_found",
        "no recording of it",
      );
      expectRefused(await server.api("GET", path(server, "r-nobody") + way), "session_not_found");
    }
  });
});

describe("a link of the disk", () => {
  let server: TestServer;
  let link: string;
  const audio = toneWav(1);
  beforeAll(async () => {
    server = await startTestServer();
    await putAudio(server, "ranges", audio);
    link = String(await freshLink(server, "ranges"));
  });
  afterAll(() => server?.stop());

  test.each([
    ["bytes=0-0", 0, 0],
    ["bytes=100-199", 100, 199],
    ["bytes=16000-", 16_000, 16_043],
    ["bytes=-44", 16_000, 16_043],
    ["bytes=-99999", 0, 16_043],
    ["bytes=16000-99999", 16_000, 16_043],
  ])("answers Range %s with that part", async (range, from, to) => {
    const part = await download(link, { range });
    expect(part.status).toBe(206);
    expect(part.headers.get("content-range")).toBe(`bytes ${from}-${to}/${audio.length}`);
    expect(part.headers.get("content-length")).toBe(String(to - from + 1));
    expect(part.bytes.equals(audio.subarray(from, to + 1))).toBe(true);
  });

  test.each(["bytes=16044-", "bytes=99999-100000", "bytes=-0"])(
    "answers Range %s with 416 and the length",
    async (range) => {
      const response = await fetch(link, { headers: { range } });
      expect([response.status, response.headers.get("content-range")]).toEqual([
        416,
        `bytes */${audio.length}`,
      ]);
      expect(((await response.json()) as { error: { code: string } }).error.code).toBe(
        "range_not_satisfiable",
      );
    },
  );

  test.each(["bytes=5-3", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "bytes=-"])(
    "answers Range %s, which may be ignored, with all of it",
    async (range) => {
      const whole = await download(link, { range });
      expect([whole.status, whole.bytes.length]).toEqual([200, audio.length]);
    },
  );

  test("says what it is, is not to be taken for anything else, and can be asked for its head", async () => {
    const head = await fetch(link, { method: "HEAD" });
    expect(head.status).toBe(200);
    expect(Object.fromEntries(head.headers)).toMatchObject({
      "content-type": "audio/wav",
      "content-length": String(audio.length),
      "accept-ranges": "bytes",
      "content-disposition": 'attachment; filename="ranges.wav"',
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "content-security-policy": "default-src 'none'; sandbox",
    });
    const etag = head.headers.get("etag") ?? "";
    expect((await download(link, { range: "bytes=0-9", "if-range": etag })).status).toBe(206);
    expect((await download(link, { range: "bytes=0-9", "if-range": '"other"' })).status).toBe(200);
  });

  test("of what is no audio is sent as bytes to be saved, whatever it is", async () => {
    const objectKey = `projects/${server.projectId}/calls/page.html`;
    await placeAudio(server.dataFolder, objectKey, "<script>alert(1)</script>");
    await server.api("POST", `${path(server, "page")}/recording-processed`, { success: true, objectKey });
    const page = await download(String(await freshLink(server, "page")));
    expect(page.headers.get("content-type")).toBe("application/octet-stream");
    expect(page.headers.get("content-disposition")).toContain("attachment");
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("that is given up in the middle leaves no open file", async () => {
    await putAudio(server, "large", toneWav(200));
    const large = String(await freshLink(server, "large"));
    const openFiles = async (): Promise<number> => (await readdir("/proc/self/fd")).length;
    const before = await openFiles();
    for (let n = 0; n < 30; n++) {
      const gone = new AbortController();
      const response = await fetch(large, { signal: gone.signal });
      await response.body?.getReader().read();
      gone.abort();
    }
    await until("the files are closed", async () => (await openFiles()) <= before + 4);
  });
});
