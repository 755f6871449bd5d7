import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { until } from "../../../test/until.ts";
import { createReceiver, memoryStore, type Payloads } from "../src/index.ts";
import { checkAddress, expiryOf } from "../src/recordings/link.ts";
import { type RecordingResult, type SaveRecordingOptions, saveRecording } from "../src/recordings.ts";
import {
  audio,
  cutAfter,
  type RecordingHost,
  type Serve,
  sha256,
  startRecordingHost,
  whole,
} from "./recording-host.ts";
import { bodies, projectId, secret, signedRequest } from "./requests.ts";

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

const newFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "sendoff-test-recordings-"));
  ends.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
const host = async (serve: Serve): Promise<RecordingHost> => {
  const started = await startRecordingHost(serve);
  ends.push(() => started.close());
  return started;
};
const ready = (recordingUrl: string, sessionId = "s"): Payloads["recording.ready"] => ({
  ...{ event: "recording.ready", sessionId, projectId, timestamp: "2026-05-03T08:42:11.512Z" },
  ...{ success: true, recordingUrl },
});

interface Saved {
  readonly result: RecordingResult;
  readonly files: string[];
  readonly folder: string;
  readonly from: RecordingHost;
}

async function save(
  serve: Serve,
  options: Partial<SaveRecordingOptions> = {},
  sessionId = "s",
): Promise<Saved> {
  const from = await host(serve);
  const folder = newFolder();
  const result = await saveRecording(
    ready(from.url("/a.ogg"), sessionId),
    { folder },
    {
      ...{ hosts: [from.host], development: true },
      ...options,
    },
  );
  return { result, files: readdirSync(folder), folder, from };
}

describe("a recording that can be had", () => {
  test("is saved whole, under a digest, with its type, length and checksum", async () => {
    const { result, files, folder } = await save(whole);
    expect(result).toEqual({
      ...{ saved: true, bytes: audio.length, contentType: "audio/ogg", sha256 },
      path: join(folder, files[0] ?? ""),
    });
    expect(files).toHaveLength(1);
    expect(files[0]).toMatch(/^[0-9a-f]{64}\.ogg$/);
    expect(readFileSync(join(folder, files[0] ?? "")).equals(audio)).toBe(true);
  });

  test("that breaks off goes on by Range, from where it was", async () => {
    const { result, from } = await save(cutAfter(80_000));
    expect(result).toMatchObject({ saved: true, sha256 });
    expect(from.ranges.length).toBeGreaterThan(2);
    expect(from.ranges[0]).toBeNull();
    for (const range of from.ranges.slice(1)) expect(range).toMatch(/^bytes=[1-9]\d*-$/);
  });

  test("from a host without ranges is sent again, and what was read is passed over", async () => {
    let requests = 0;
    const { result } = await save((request, response) => {
      requests += 1;
      (requests === 1 ? cutAfter(100_000) : whole)(request, response, 0);
    });
    expect([result, requests]).toMatchObject([{ saved: true, sha256 }, 2]);
  });

  test("from a host that fails at first is tried again", async () => {
    let requests = 0;
    const { result } = await save((request, response, from) => {
      requests += 1;
      if (requests < 3) response.writeHead(503).end();
      else whole(request, response, from);
    });
    expect([result.saved, requests]).toEqual([true, 3]);
  });

  test("from a host that falls silent is taken up again", async () => {
    let requests = 0;
    const { result } = await save(
      (request, response, from) => {
        requests += 1;
        if (requests > 1) return whole(request, response, from);
        response.writeHead(200, { "content-type": "audio/ogg", "content-length": audio.length, etag: '"1"' });
        response.write(audio.subarray(0, 1_000));
      },
      { idleMs: 100 },
    );
    expect([result, requests]).toMatchObject([{ saved: true, sha256 }, 2]);
  });

  test("goes to a function as it comes", async () => {
    const from = await host(cutAfter(90_000));
    const chunks: Uint8Array[] = [];
    const result = await saveRecording(
      ready(from.url("/a")),
      async (stream, { name, contentType, length }) => {
        expect([name, contentType, length]).toEqual([
          expect.stringMatching(/\.ogg$/),
          "audio/ogg",
          audio.length,
        ]);
        for await (const chunk of stream) chunks.push(chunk);
      },
      { hosts: [from.host], development: true },
    );
    expect(result).toMatchObject({ saved: true, path: null, sha256 });
    expect(Buffer.concat(chunks).equals(audio)).toBe(true);
  });

  test.each(["../../x", "a\u0000b", "x".repeat(300), "/etc/passwd", "con", "."])(
    "V20: of session %j has a name that is a digest",
    async (sessionId) => {
      const { result, files } = await save(whole, {}, sessionId);
      expect(result.saved).toBe(true);
      expect(files).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.ogg$/)]);
    },
  );

  test("of a host that knows no type has the end of the link's name, when that is one of audio", async () => {
    const untyped: Serve = (_request, response) => {
      const octets = { "content-type": "application/octet-stream", "content-length": 4 };
      response.writeHead(200, octets).end("OggS");
    };
    expect((await save(untyped)).files).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.ogg$/)]);
  });

  test("is tried once although this machine's clock says that its link is dead", async () => {
    const { result } = await save(whole, { receivedAt: new Date(Date.now() - 3_600_000) });
    expect(result.saved).toBe(true);
  });
});

describe("a recording that cannot be had is told, and leaves no file", () => {
  const told = async (serve: Serve, options: Partial<SaveRecordingOptions> = {}): Promise<string> => {
    const { result, files } = await save(serve, options);
    expect(files).toEqual([]);
    expect(result).toEqual({
      saved: false,
      reason: expect.any(String),
      message: expect.stringMatching(/\w{3}/),
    });
    return (result as { reason: string }).reason;
  };
  const answer =
    (status: number, headers: Record<string, string | number>, body: Buffer = audio): Serve =>
    (_request, response) =>
      void response.writeHead(status, headers).end(body);

  test("V19: a page instead of audio, an expired link, a missing file", async () => {
    expect(await told(answer(200, { "content-type": "text/html", "content-length": audio.length }))).toBe(
      "wrong_type",
    );
    expect(await told(answer(200, { "content-length": audio.length }))).toBe("wrong_type");
    expect(await told(answer(403, { "content-type": "application/xml" }))).toBe("link_expired");
    expect(await told(answer(404, { "content-type": "audio/ogg" }))).toBe("wrong_answer");
    expect(await told(answer(206, { "content-type": "audio/ogg", "content-range": "bytes 0-9/10" }))).toBe(
      "wrong_answer",
    );
    const page = Buffer.from("<html>expired</html>");
    const untyped = { "content-type": "application/octet-stream", "content-length": page.length };
    expect(await told(answer(200, untyped, page))).toBe("wrong_type");
    const gzip = { "content-type": "audio/ogg", "content-encoding": "gzip", "content-length": audio.length };
    expect(await told(answer(200, gzip))).toBe("wrong_type");
  });

  test("V19: 50 GB announced, and an endless one", async () => {
    expect(
      await told((_request, response) => {
        response.writeHead(200, { "content-type": "audio/ogg", "content-length": 50_000_000_000 });
        response.write(audio);
      }),
    ).toBe("too_large");
    const endless: Serve = (_request, response) => {
      response.writeHead(200, { "content-type": "audio/ogg" });
      const more = (): void => {
        while (!response.destroyed && response.write(audio));
        if (!response.destroyed) response.once("drain", more);
      };
      more();
    };
    expect(await told(endless, { bytesMax: 3_000_000 })).toBe("too_large");
  });

  test("V19: a wrong length, and none at all", async () => {
    const short: Serve = (_request, response, from) => {
      const range = { "content-range": `bytes ${from}-${audio.length + 9}/${audio.length + 10}` };
      if (from >= audio.length) return void response.writeHead(416).end();
      response.writeHead(from > 0 ? 206 : 200, {
        ...{ "content-type": "audio/ogg", "content-length": audio.length + 10 - from, etag: '"1"' },
        ...(from > 0 ? range : {}),
      });
      response.write(audio.subarray(from), () => response.destroy());
    };
    expect(await told(short)).toBe("wrong_length");
    const untold: Serve = (_request, response) => {
      response.socket?.end(`HTTP/1.1 200 OK\r\ncontent-type: audio/ogg\r\n\r\n${"x".repeat(1_000)}`);
    };
    expect(await told(untold)).toBe("wrong_length");
  });

  test("V19: a wrong checksum", async () => {
    const wrong = { "content-type": "audio/ogg", "content-length": audio.length };
    expect(await told(answer(200, { ...wrong, "repr-digest": `sha-256=:${"A".repeat(43)}=:` }))).toBe(
      "wrong_checksum",
    );
    expect(await told(answer(200, { ...wrong, "x-amz-checksum-sha256": `${"A".repeat(43)}=` }))).toBe(
      "wrong_checksum",
    );
  });

  test("V19: slower than its link lives: it ends before that, with a reason", async () => {
    const drip: Serve = (_request, response) => {
      response.writeHead(200, { "content-type": "audio/ogg", "content-length": audio.length });
      const timer = setInterval(() => response.write("x"), 20);
      response.on("close", () => clearInterval(timer));
    };
    const began = performance.now();
    expect(await told(drip, { lifeMs: 3_000, marginMs: 2_500 })).toBe("too_late");
    expect(performance.now() - began).toBeLessThan(3_000);
  });

  test("V19: a host that goes on failing is given up before the link dies, or after some tries", async () => {
    expect(await told(answer(500, {}), { lifeMs: 700, marginMs: 200 })).toBe("too_late");
    const reset: Serve = (request) => void request.socket.destroy();
    expect(["unreachable", "too_late"]).toContain(await told(reset, { lifeMs: 6_000 }));
  });

  test("another file at the same link", async () => {
    let requests = 0;
    const changing: Serve = (_request, response, from) => {
      requests += 1;
      const rest = audio.subarray(from);
      const range = { "content-range": `bytes ${from}-${audio.length - 1}/${audio.length}` };
      response.writeHead(from > 0 ? 206 : 200, {
        ...{ "content-type": "audio/ogg", "content-length": rest.length, etag: `"${requests}"` },
        ...(from > 0 ? range : {}),
      });
      response.write(rest.subarray(0, 100_000), () => response.destroy());
    };
    expect(await told(changing)).toBe("changed");
  });

  test("an event without a recording, a signal, a target that fails or stops reading", async () => {
    const failed = { ...ready(""), success: false, recordingUrl: undefined } as Payloads["recording.ready"];
    const options = { hosts: ["x"] };
    expect(await saveRecording(failed, { folder: "/nowhere" }, options)).toMatchObject({
      reason: "no_recording",
    });
    expect(await told(whole, { signal: AbortSignal.abort() })).toBe("aborted");
    const from = await host(whole);
    const dev = { hosts: [from.host], development: true };
    const fails = saveRecording(ready(from.url("/")), () => Promise.reject(new Error("bucket gone")), dev);
    expect(await fails).toEqual({ saved: false, reason: "target_failed", message: "bucket gone" });
    const stops = saveRecording(
      ready(from.url("/")),
      async (stream) => void (await stream[Symbol.asyncIterator]().next()),
      dev,
    );
    expect(await stops).toMatchObject({
      reason: "target_failed",
      message: expect.stringContaining("to its end"),
    });
    const nowhere = saveRecording(ready(from.url("/")), { folder: "/dev/null/x" }, dev);
    expect(await nowhere).toMatchObject({ saved: false, reason: "target_failed" });
  });
});

describe("V18: links that are not followed", () => {
  const refused = async (link: string, options: Partial<SaveRecordingOptions> = {}): Promise<unknown> => {
    const folder = newFolder();
    const result = await saveRecording(
      ready(link),
      { folder },
      {
        ...{
          hosts: ["recordings.example.com"],
          resolve: () => Promise.reject(new Error("it was looked up")),
        },
        ...options,
      },
    );
    expect(JSON.stringify(result)).not.toContain("secret");
    return (result as { reason: string }).reason;
  };

  test.each([
    "http://recordings.example.com/a?secret",
    "file:///etc/passwd?secret",
    "https://other.example.com/a?secret",
    "https://recordings.example.com.evil.com/a?secret",
    "https://recordings.example.com:8443/a?secret",
    "https://user:secret@recordings.example.com/a",
    "https://recordings.example.com@evil.com/a?secret",
    "not a link, secret",
    "https://169.254.169.254/a?secret",
    "https://[::ffff:127.0.0.1]/a?secret",
  ])("%s", async (link) => {
    expect(await refused(link)).toBe("link_refused");
  });

  test("a host that is listed as an address is refused when that is not public", async () => {
    for (const address of [
      "127.0.0.1",
      "10.0.0.1",
      "[::1]",
      "[fe80::1]",
      "[::ffff:7f00:1]",
      "[64:ff9b::a00:1]",
    ]) {
      expect(await refused(`https://${address}/a`, { hosts: [address] }), address).toBe("link_refused");
    }
  });

  test("a name that leads to a private address, or to one among others, is refused without a packet", async () => {
    for (const addresses of [
      ["127.0.0.1"],
      ["93.184.215.14", "10.0.0.1"],
      ["10.0.0.1", "93.184.215.14"],
      ["::127.0.0.1"],
    ]) {
      const resolve = async () =>
        addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
      expect(await refused("https://recordings.example.com/a", { resolve })).toBe("link_refused");
    }
  });

  test("a redirect leads only to where a link could lead", async () => {
    const target = await host(whole);
    const other = await host(whole);
    const to =
      (location: string): Serve =>
      (_request, response) =>
        void response.writeHead(302, { location }).end();
    const lead = async (location: string): Promise<RecordingResult> => {
      const from = await host(to(location));
      return saveRecording(
        ready(from.url("/")),
        { folder: newFolder() },
        {
          ...{ hosts: [from.host, target.host], development: true },
        },
      );
    };
    expect(await lead(target.url("/a"))).toMatchObject({ saved: true, sha256 });
    expect(await lead(other.url("/a"))).toMatchObject({ saved: false, reason: "link_refused" });
    expect(await lead("http://169.254.169.254/latest")).toMatchObject({
      saved: false,
      reason: "link_refused",
    });
    expect(await lead("//[")).toMatchObject({ saved: false, reason: "link_refused" });
    expect(other.connections()).toBe(0);
    const round = await save(
      (request, response) => void response.writeHead(302, { location: request.url ?? "/" }).end(),
    );
    expect(round.result).toMatchObject({ saved: false, reason: "wrong_answer" });
  });

  test("public addresses are public", () => {
    for (const address of ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]) {
      expect(() => checkAddress(address, false)).not.toThrow();
    }
    for (const address of [
      "0.0.0.0",
      "100.64.0.1",
      "192.168.1.1",
      "::",
      "4000::1",
      "2002:7f00:1::",
      "fd00::1",
      "x",
    ]) {
      expect(() => checkAddress(address, false), address).toThrow();
    }
  });
});

test("a link's end is what it says itself, and no later than its life from its arrival", () => {
  const at = Date.UTC(2026, 4, 3, 8, 0, 0);
  const end = (query: string) => expiryOf(new URL(`https://h/a?${query}`), at, 900_000) - at;
  expect(end("")).toBe(900_000);
  expect(end(`expires=${at / 1_000 + 60}&signature=x`)).toBe(60_000);
  expect(end("X-Amz-Date=20260503T075500Z&X-Amz-Expires=900")).toBe(600_000);
  expect(end("expires=soon")).toBe(900_000);
});

test("500 recordings are announced at once with links of 15 s: each is saved whole or told with its reason, and no half file is left", async () => {
  // A host that fails in all ways, by the number in the path.
  const from = await host((request, response, at) => {
    const number = Number(/\d+/.exec(request.url ?? "")?.[0]);
    const expires = Number(new URL(request.url ?? "", "http://h").searchParams.get("expires"));
    if (Date.now() / 1_000 > expires) return void response.writeHead(403).end();
    if (number % 50 === 7)
      return void response.writeHead(200, { "content-type": "text/html" }).end("<p>no</p>");
    if (number % 50 === 8) return void response.writeHead(404).end();
    if (number % 10 === 3) return cutAfter(120_000)(request, response, at);
    if (number % 10 === 4 && at === 0 && Math.random() < 0.5) return void response.writeHead(503).end();
    if (number % 50 === 9) {
      response.writeHead(200, { "content-type": "audio/ogg", "content-length": audio.length });
      const timer = setInterval(() => response.write("x"), 500);
      response.on("close", () => clearInterval(timer));
      return;
    }
    whole(request, response, at);
  });
  const folder = newFolder();
  const results = new Map<string, RecordingResult>();
  const receiver = createReceiver({
    ...{ verify: { secrets: secret }, store: memoryStore(), concurrency: 500, notify: () => {} },
    on: {
      async "recording.ready"(event, { receivedAt, signal }) {
        const options = { hosts: [from.host], development: true, receivedAt, signal };
        results.set(event.sessionId, await saveRecording(event, { folder }, options));
      },
    },
  });
  ends.push(() => receiver.close({ withinMs: 100 }));
  const expires = Math.ceil(Date.now() / 1_000) + 15;
  const answers = await Promise.all(
    Array.from({ length: 500 }, async (_, number) => {
      const link = from.url(`/${number}.ogg?expires=${expires}`);
      return (await receiver.handle(signedRequest(bodies["recording.ready"](`s${number}`, link)))).status;
    }),
  );
  expect(answers.every((status) => status === 200)).toBe(true);
  await until("all are told", () => results.size === 500, 30_000);
  const saved = [...results.values()].filter((result) => result.saved);
  const reasons = [...results.values()].flatMap((result) => (result.saved ? [] : [result.reason]));
  const told = (reason: string): number => reasons.filter((one) => one === reason).length;
  expect({ wrong_answer: told("wrong_answer"), wrong_type: told("wrong_type") }).toEqual({
    wrong_answer: 10,
    wrong_type: 10,
  });
  // Ten hosts drip; on a machine that is slow more links die first. Each of those is told, too.
  expect(told("too_late")).toBeGreaterThanOrEqual(10);
  expect(reasons).toHaveLength(20 + told("too_late"));
  expect(saved.length).toBeGreaterThan(400);
  for (const result of saved) expect(result).toMatchObject({ bytes: audio.length, sha256 });
  const files = readdirSync(folder);
  expect(files).toHaveLength(saved.length);
  expect(files.filter((name) => !/^[0-9a-f]{64}\.ogg$/.test(name))).toEqual([]);
});
