// What comes in by PUT recording: what is taken, what is refused, and that nothing is left of what did not come whole.
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import type { IncomingMessage, Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { placeAudio, toneWav } from "../../../test/audio.ts";
import { emptyTables } from "../../../test/database.ts";
import { type PutAnswer, putAudio } from "../../../test/recordings.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";
import { until } from "../../../test/until.ts";
import { held, type LoneUploads, send, startUploads } from "../../../test/uploads.ts";
import { closeHttp, listenHttp } from "../src/http/listen.ts";
import { allowLong } from "../src/http/long-requests.ts";
import { createDiskRecordings } from "../src/recordings/disk.ts";
import { newObjectKey } from "../src/recordings/keys.ts";
import { beginUpload, deadUploadMs } from "../src/recordings/table.ts";
import { Refusal } from "../src/refusal.ts";
import { removeUnkept } from "../src/retention/recordings.ts";

let server: TestServer;
const sockets: Socket[] = [];
const servers: Server[] = [];

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server?.stop());
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const one of servers.splice(0)) await closeHttp(one);
});

const sessions = (): string => `/v1/projects/${server.projectId}/sessions`;
const wav = toneWav(1);

/** Files of the store that are not folders, by the part of their path that names a session. */
async function stored(sessionId = ""): Promise<string[]> {
  const entries = await readdir(join(server.dataFolder, "recordings"), {
    recursive: true,
    withFileTypes: true,
  }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => path.includes(sessionId) && !path.endsWith(".peaks.json"));
}

const readyEvents = async (sessionId: string): Promise<number> => {
  const { rows } = await server.pool.query(
    `SELECT count(*) AS count FROM events JOIN sessions USING (session_key)
     WHERE session_id = $1 AND event = 'recording.ready'`,
    [sessionId],
  );
  return rows[0].count;
};

const refusalOf = ({ status, body }: PutAnswer): [number, string] => [status, body.error?.code];

describe("an upload", () => {
  test("makes the session when it is the first that is heard of it, and a call of it", async () => {
    expect((await putAudio(server, "u-new", wav)).body.data).toMatchObject({
      sessionId: "u-new",
      state: "open",
      duplicate: false,
      events: ["recording.ready"],
    });
    expect((await server.api("GET", `${sessions()}/u-new`)).body.data.channel).toBe("call");
  });

  test("I13: the same audio again is a duplicate and stores nothing; other audio is refused", async () => {
    const first = await putAudio(server, "u-twice", wav);
    const again = await putAudio(server, "u-twice", wav);
    expect(again.status).toBe(200);
    expect(again.body.data).toMatchObject({ duplicate: true, events: [] });
    expect(again.body.data.recording).toEqual(first.body.data.recording);
    for (const other of [toneWav(1, 2), toneWav(1).fill(1, 100, 200)]) {
      expect(refusalOf(await putAudio(server, "u-twice", other))).toEqual([409, "report_contradicts"]);
    }
    expect((await stored("u-twice")).length).toBe(1);
    expect(await readyEvents("u-twice")).toBe(1);
  });

  test.each([
    ["alike", wav, wav],
    ["different", wav, toneWav(2)],
  ])(
    "two at the same instant, %s, are one event and one object, and the other gets 409",
    async (what, left, right) => {
      const sessionId = `u-race-${what}`;
      const [one, two] = [left, right].map((audio) => held(audio.subarray(0, 5_000), audio.subarray(5_000)));
      const answers = [one, two].map((audio) => putAudio(server, sessionId, audio?.body as ReadableStream));
      await until("both have begun", async () => {
        const { rowCount } = await server.pool.query("SELECT FROM recordings WHERE session_id = $1", [
          sessionId,
        ]);
        return rowCount === 2;
      });
      one?.goOn();
      two?.goOn();
      const statuses = (await Promise.all(answers)).map(refusalOf).sort(([a], [b]) => a - b);
      expect(statuses).toEqual([
        [200, undefined],
        [409, "report_contradicts"],
      ]);
      expect((await stored(sessionId)).length).toBe(1);
      expect(await readyEvents(sessionId)).toBe(1);
      const { rowCount } = await server.pool.query("SELECT FROM recordings WHERE session_id = $1", [
        sessionId,
      ]);
      expect(rowCount).toBe(1);
    },
  );

  test("sixteen at once, small ones, are one event and one object", async () => {
    const answers = await Promise.all(Array.from({ length: 16 }, () => putAudio(server, "u-many", wav)));
    const taken = answers.filter(({ body }) => body.data?.duplicate === false);
    expect(taken.length).toBe(1);
    for (const answer of answers) {
      if (answer.status !== 200) expect(refusalOf(answer)).toEqual([409, "report_contradicts"]);
    }
    expect((await stored("u-many")).length).toBe(1);
    expect(await readyEvents("u-many")).toBe(1);
  });

  test.each([
    ["a page", Buffer.from("<!doctype html><script>alert(1)</script>")],
    ["a form", Buffer.from('--x\r\ncontent-disposition: form-data; name="file"\r\n\r\nOggS')],
    ["nothing", Buffer.alloc(0)],
    ["compressed audio", Buffer.from("1f8b0800000000000003", "hex")],
    ["a picture", Buffer.from("89504e470d0a1a0a", "hex")],
    ["Ogg with a video", Buffer.concat([Buffer.from("OggS"), Buffer.alloc(24), Buffer.from("\x80theora")])],
    ["eleven ones", Buffer.from("fffb9064".padEnd(2_000, "0"), "hex")],
  ])("of %s is refused, whatever it is called, and nothing is stored", async (_, body) => {
    const answer = await putAudio(server, "u-odd", body, "audio/mpeg");
    expect(refusalOf(answer)).toEqual([415, "not_audio"]);
    expect(answer.body.error.message).toContain('"audio/mpeg"');
    expect(answer.body.error.message).toContain("expected the audio itself");
    expect(await stored("u-odd")).toEqual([]);
    expect((await server.api("GET", `${sessions()}/u-odd`)).status).toBe(404);
  });

  test("for a text session, an erased one or a failed recording is refused before its end has come", async () => {
    const text = { channel: "text", currentNodeId: "n", messagesCount: 1, extractedVariables: {} };
    await server.api("POST", `${sessions()}/u-text/conversation-ended`, text);
    await server.api("POST", `${sessions()}/u-gone/recording-processed`, { success: false });
    await server.api("DELETE", `${sessions()}/u-gone`);
    await server.api("POST", `${sessions()}/u-failed/recording-processed`, {
      success: false,
      error: "mixer",
    });
    for (const [sessionId, code] of [
      ["u-text", "channel_conflict"],
      ["u-gone", "session_erased"],
      ["u-failed", "report_contradicts"],
    ] as const) {
      const { body } = held(wav.subarray(0, 5_000), wav);
      const answer = await putAudio(server, sessionId, body);
      expect(refusalOf(answer), sessionId).toEqual([409, code]);
      expect(await stored(sessionId)).toEqual([]);
    }
  });

  test("of a session that is erased meanwhile leaves nothing", async () => {
    await server.api("POST", `${sessions()}/u-meanwhile/call-ended`, {
      callStatus: "error",
      callDuration: 1,
    });
    const { body, goOn } = held(wav.subarray(0, 5_000), wav.subarray(5_000));
    const answer = putAudio(server, "u-meanwhile", body);
    await until("it has begun", async () => {
      const { rowCount } = await server.pool.query("SELECT FROM recordings WHERE session_id = 'u-meanwhile'");
      return rowCount === 1;
    });
    await server.api("DELETE", `${sessions()}/u-meanwhile`);
    goOn();
    expect(refusalOf(await answer)).toEqual([409, "session_erased"]);
    expect(await stored("u-meanwhile")).toEqual([]);
    const { rows } = await server.pool.query("SELECT FROM recordings WHERE session_id = 'u-meanwhile'");
    expect(rows).toEqual([]);
  });

  test("that breaks off leaves no file, no row and no event", async () => {
    const socket = connect(Number(new URL(server.apiUrl).port), "127.0.0.1");
    sockets.push(socket);
    socket.write(
      `PUT ${sessions()}/u-broken/recording HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.projectKey}\r\ncontent-length: 1000000\r\n\r\n`,
    );
    socket.write(wav);
    await until("bytes are in a file", async () => (await stored(".unfinished")).length === 1);
    socket.destroy();
    await until("the file is gone", async () => (await stored(".unfinished")).length === 0);
    await until("its row is gone", async () => {
      const { rowCount } = await server.pool.query("SELECT FROM recordings WHERE session_id = 'u-broken'");
      return rowCount === 0;
    });
    expect((await server.api("GET", `${sessions()}/u-broken`)).status).toBe(404);
  });
});

/** {@link startUploads}, closed after the test. */
async function lone(more: Parameters<typeof startUploads>[1] = {}): Promise<LoneUploads> {
  const started = await startUploads(server, more);
  servers.push(started.http);
  return started;
}

describe("the limits of uploads", () => {
  test("P9: one of which no byte comes for a while is ended, answered 408 and leaves nothing", async () => {
    const { url } = await lone({ windowMs: 300 });
    const { body } = held(wav.subarray(0, 6_000), wav);
    const answer = await send(url, body);
    expect(answer).toMatchObject({ status: 408, code: "upload_stalled" });
    expect(answer.message).toContain("After 6000 bytes the upload came too slowly");
    expect(await stored("u-alone")).toEqual([]);
    expect(await stored(".unfinished")).toEqual([]);
  });

  test("one that is slow but comes is taken, for longer than any other request may last", async () => {
    const limits = { headersTimeoutMs: 200, requestTimeoutMs: 400, checkMs: 50, connectionsMax: 10 };
    const requests: string[] = [];
    const answer = async (request: Request, env: object): Promise<Response> => {
      const { incoming } = env as { incoming: IncomingMessage };
      const end = new URL(request.url).pathname === "/long" ? allowLong(incoming) : () => {};
      for await (const chunk of incoming) requests.push(String(chunk));
      end();
      return new Response("whole");
    };
    const http = await listenHttp("127.0.0.1", 0, { admission: () => null, answer }, limits);
    servers.push(http);
    const drip = async (path: string): Promise<string> => {
      const socket = connect((http.address() as AddressInfo).port, "127.0.0.1");
      sockets.push(socket);
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk;
      });
      const closed = once(socket, "close");
      socket.write(`PUT ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 12\r\nconnection: close\r\n\r\n`);
      const timer = setInterval(() => socket.writable && socket.write("."), 100);
      await closed;
      clearInterval(timer);
      return answer;
    };
    const [long, short] = await Promise.all([drip("/long"), drip("/short")]);
    expect(long).toContain("200 OK");
    expect(long).toContain("whole");
    expect(short).toContain("408 Request Timeout");
  });

  test("I15: more than the store can take at a time are asked to come again, and have a place again later", async () => {
    const { url } = await lone({ store: { uploadsMax: 3 } });
    const slow = [held(wav.subarray(0, 5_000), wav), held(wav.subarray(0, 5_000), wav)];
    const taken = slow.map(({ body }) => send(url, body));
    await until("both are under way", async () => (await stored(".unfinished")).length === 2);
    expect(await send(url, wav)).toMatchObject({ status: 503, code: "overloaded" });
    for (const { goOn } of slow) goOn();
    expect((await Promise.all(taken)).map(({ status }) => status)).toEqual([200, 200]);
    expect((await send(url, wav)).status).toBe(200);
  });

  test("while the process ends no new one is taken, one that is nearly done ends, and a long one leaves nothing", async () => {
    const { url, uploads } = await lone({});
    const [quick, endless] = [
      held(wav.subarray(0, 5_000), wav.subarray(5_000)),
      held(wav.subarray(0, 5_000), wav),
    ];
    const answers = [send(url, quick.body), send(url, endless.body)];
    await until("both are under way", async () => (await stored(".unfinished")).length === 2);
    const stopped = uploads.stop(1_000);
    expect(await send(url, wav)).toMatchObject({ status: 503, code: "draining" });
    quick.goOn();
    expect((await answers[0])?.status).toBe(200);
    expect(await answers[1]).toMatchObject({ status: 503, code: "draining" });
    await stopped;
    expect(await stored(".unfinished")).toEqual([]);
  });
});

describe("what an upload leaves when its commit is in doubt", () => {
  const rows = async (): Promise<number> =>
    (await server.pool.query("SELECT FROM recordings WHERE session_id = 'u-alone'")).rowCount ?? 0;
  const makeOld = () =>
    server.pool.query(`UPDATE recordings SET alive_at = now() - ${deadUploadMs + 1_000} * interval '1 ms'`);
  const round = () =>
    removeUnkept({
      pool: server.pool,
      recordings: createDiskRecordings(join(server.dataFolder, "recordings"), 0),
    });
  afterEach(async () => {
    await emptyTables(server.pool, "recordings", "sessions");
  });

  test("is kept until the session tells, and removed when no session refers to it", async () => {
    await emptyTables(server.pool, "recordings");
    const { url } = await lone({
      report: async () => {
        throw new Refusal("database_unavailable", "PostgreSQL does not answer; send the report again.");
      },
    });
    const before = await stored("u-alone");
    expect((await send(url, wav)).status).toBe(503);
    expect((await stored("u-alone")).length).toBe(before.length + 1);
    expect(await round()).toBe(0);
    expect(await rows()).toBe(1);
    await makeOld();
    expect(await round()).toBe(1);
    expect(await rows()).toBe(0);
    expect(await stored("u-alone")).toEqual(before);
  });

  test("is kept when the report was committed after all, and gets its waveform", async () => {
    const { url } = await lone({
      report: async (objectKey) => {
        const report = { success: true, objectKey };
        await server.api("POST", `${sessions()}/u-alone/recording-processed`, report);
        await server.pool.query("UPDATE recordings SET kept = false, peaks = 'pending'");
        throw new Error("the connection was reset");
      },
    });
    expect((await send(url, wav)).status).toBe(500);
    await makeOld();
    expect(await round()).toBe(0);
    await until("its waveform is there", async () => {
      const { body } = await server.api("GET", `${sessions()}/u-alone`);
      return body.data.recording.peaks === "made";
    });
  });

  test("goes with a row of which the process died before its object was whole", async () => {
    const place = {
      projectId: server.projectId,
      sessionId: "u-alone",
      objectKey: newObjectKey(server.projectId, "u-alone", "wav"),
    };
    await beginUpload(server.pool, place);
    await makeOld();
    expect(await round()).toBe(1);
    expect(await rows()).toBe(0);
  });

  test("is not removed when the audio was there before Sendoff knew of it", async () => {
    const objectKey = `projects/${server.projectId}/calls/theirs.wav`;
    const file = join(server.dataFolder, "recordings", objectKey);
    await server.pool.query(
      `INSERT INTO recordings (object_key, project_id, session_id, uploaded, alive_at)
       VALUES ($1, $2, 'u-alone', false, now() - interval '1 hour')`,
      [objectKey, server.projectId],
    );
    await placeAudio(server.dataFolder, objectKey);
    expect(await round()).toBe(0);
    expect([await rows(), existsSync(file)]).toEqual([0, true]);
  });
});
