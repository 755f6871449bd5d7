// One suite for every store of recordings. The bucket is Swift's with its S3 API, which checks signatures and expiry.
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { toneWav } from "../../../test/audio.ts";
import { type Swift, startSwift } from "../../../test/swift.ts";
import { createLog } from "../src/log.ts";
import { createDiskRecordings } from "../src/recordings/disk.ts";
import { newObjectKey, peaksKeyOf } from "../src/recordings/keys.ts";
import { openRecordings } from "../src/recordings/open.ts";
import { readPeaks, writePeaks } from "../src/recordings/peaks.ts";
import { parseBucket } from "../src/recordings/setting.ts";
import type { RecordingStore } from "../src/recordings/store.ts";
import { Refusal } from "../src/refusal.ts";

const project = "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20";
let folder: string;
let swift: Swift;
const stores = new Map<string, RecordingStore>();
const silent = createLog("silent");

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sendoff-test-store-"));
  swift = await startSwift();
  for (const [name, value] of Object.entries(swift.env)) vi.stubEnv(name, value);
  stores.set("disk", await openRecordings(null, folder, 0, silent));
  stores.set(
    "bucket",
    await openRecordings(parseBucket(swift.env.SENDOFF_RECORDINGS ?? ""), folder, 0, silent),
  );
});
afterAll(async () => {
  for (const store of stores.values()) store.close();
  await swift?.stop();
  await rm(folder, { recursive: true, force: true });
  vi.unstubAllEnvs();
});

async function* bytesOf(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const wav = toneWav(1);

describe.each(["disk", "bucket"])("recordings on %s", (name) => {
  let store: RecordingStore;
  const written: string[] = [];
  const newKey = (): string => {
    const key = newObjectKey(project, "call-1", "wav");
    written.push(key);
    return key;
  };
  beforeAll(() => {
    store = stores.get(name) as RecordingStore;
  });
  afterEach(async () => {
    for (const key of written.splice(0)) await store.remove(key);
  });

  test("what was written is found and read, whole and in part", async () => {
    const key = newKey();
    await store.write(key, bytesOf(wav.subarray(0, 100), wav.subarray(100)), "audio/wav");
    expect(await store.find(key)).toMatchObject({ bytes: wav.length, contentType: "audio/wav" });
    expect(sha256(await buffer(await store.read(key)))).toBe(sha256(wav));
    const part = await buffer(await store.read(key, { from: 5_000, to: 5_099 }));
    expect(part.equals(wav.subarray(5_000, 5_100))).toBe(true);
  });

  test("what is larger than a part of an upload comes out as it went in", async () => {
    const key = newKey();
    const chunk = Buffer.alloc(1 << 20, "audio");
    await store.write(key, bytesOf(wav, ...Array.from({ length: 18 }, () => chunk)), "audio/wav");
    expect((await store.find(key))?.bytes).toBe(wav.length + 18 * chunk.length);
    const expected = createHash("sha256").update(wav);
    for (let n = 0; n < 18; n++) expected.update(chunk);
    expect(sha256(await buffer(await store.read(key)))).toBe(expected.digest("hex"));
  });

  test("of a source that fails nothing is left, and its own error is told", async () => {
    for (const chunks of [1, 12]) {
      const key = newKey();
      async function* failing(): AsyncGenerator<Uint8Array> {
        for (let n = 0; n < chunks; n++) yield Buffer.alloc(1 << 20, "audio");
        throw new Refusal("upload_broken", "The upload broke off.");
      }
      await expect(store.write(key, failing(), "audio/wav")).rejects.toMatchObject({ code: "upload_broken" });
      expect(await store.find(key)).toBeNull();
      if (name === "bucket") expect(await unfinishedUploads()).toEqual([]);
      else expect(await readdir(join(folder, ".unfinished"))).toEqual([]);
    }
  });

  test("nothing is found where nothing is, also where a part of a key is an object", async () => {
    const key = newKey();
    await store.write(key, bytesOf(wav), "audio/wav");
    for (const none of [
      newKey(),
      `${key}/x`,
      `projects/${project}/sessions`,
      `projects/${project}/${"x".repeat(900)}`,
    ]) {
      expect(await store.find(none), none).toBeNull();
      expect(await store.remove(none), none).toBe(false);
    }
    expect(await store.find(key)).not.toBeNull();
  });

  test("audio goes with its waveform, and once", async () => {
    const key = newKey();
    await store.write(key, bytesOf(wav), "audio/wav");
    const peaks = { seconds: 1, channels: [[0, 0.5, 1]] };
    await writePeaks(store, key, peaks);
    expect(await readPeaks(store, key)).toEqual(peaks);
    expect(await store.remove(key)).toBe(true);
    expect([await store.find(key), await store.find(peaksKeyOf(key))]).toEqual([null, null]);
    expect(await store.remove(key)).toBe(false);
    await store.discard(key);
  });
});

const client = (): S3Client =>
  new S3Client({ endpoint: swift.endpoint, region: "us-east-1", forcePathStyle: true });

async function unfinishedUploads(): Promise<string[]> {
  const { Uploads = [] } = await client().send(new ListMultipartUploadsCommand({ Bucket: swift.bucket }));
  return Uploads.map(({ Key = "" }) => Key);
}

describe("a bucket", () => {
  const key = `projects/${project}/sessions/ab/cd/call=1/x.wav`;
  const minutes = (count: number): number => count * 60_000;

  test("a link works until its time is over and says what is in it; one changed byte and it is 403", async () => {
    const store = stores.get("bucket") as RecordingStore;
    await store.write(key, bytesOf(wav), "audio/wav");
    const signed = async (ageMs: number): Promise<string> =>
      (await store.sign(key, Date.now() - ageMs, minutes(15)))?.url ?? "";
    const link = await signed(0);
    const answer = await fetch(link);
    expect(answer.status).toBe(200);
    expect(sha256(Buffer.from(await answer.arrayBuffer()))).toBe(sha256(wav));
    expect(answer.headers.get("content-type")).toBe("audio/wav");
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="call=1.wav"');
    expect((await fetch(link, { headers: { range: "bytes=-100" } })).status).toBe(206);
    expect((await fetch(await signed(minutes(15) - 1_500))).status).toBe(200);
    expect((await fetch(await signed(minutes(15) + 1_500))).status).toBe(403);
    const signature = new URL(link).searchParams.get("X-Amz-Signature") ?? "";
    const changed = link.replace(
      signature,
      signature.replace(/.$/, (last) => (last === "0" ? "1" : "0")),
    );
    expect((await fetch(changed)).status).toBe(403);
    expect((await fetch(link.replace("x.wav", "y.wav"))).status).toBe(403);
    const { shownUrl = "" } = (await store.sign(key, Date.now(), minutes(15))) ?? {};
    expect(shownUrl).toBe(`${swift.endpoint}/${swift.bucket}/calls/${key.replace("=", "%3D")}`);
    expect((await fetch(shownUrl)).status).not.toBe(200);
    await store.remove(key);
  });

  test("the parts that a dead process has stored of an upload are found by its key and removed", async () => {
    const store = stores.get("bucket") as RecordingStore;
    const at = { Bucket: swift.bucket, Key: `calls/${key}` };
    const { UploadId } = await client().send(new CreateMultipartUploadCommand(at));
    await client().send(
      new UploadPartCommand({ ...at, UploadId, PartNumber: 1, Body: Buffer.alloc(5 << 20) }),
    );
    expect(await unfinishedUploads()).toEqual([at.Key]);
    await store.discard(key);
    expect(await unfinishedUploads()).toEqual([]);
  });

  test("one that is away, is not there or does not know the key is a refusal that says so", async () => {
    const away = { ...parseBucket("s3://recordings?endpoint=http://127.0.0.1:9"), region: "us-east-1" };
    const none = parseBucket(`s3://nobodys?endpoint=${swift.endpoint}&region=us-east-1`);
    for (const setting of [away, none]) {
      const store = await openRecordings(setting as never, folder, 0, silent);
      await expect(store.write(key, bytesOf(wav), "audio/wav")).rejects.toMatchObject({
        code: "recording_store_unavailable",
        message: expect.stringContaining("SENDOFF_RECORDINGS"),
      });
      store.close();
    }
  });
});

describe("a disk", () => {
  test("unfinished files of dead processes go at once, those of others when nobody has written to them for long", async () => {
    const place = join(folder, ".unfinished");
    await mkdir(place, { recursive: true });
    const host = hostname().replace(/[^A-Za-z0-9-]/g, "-");
    const old = new Date(Date.now() - 121_000);
    const names = {
      ofTheDead: `${host}.99999999.a`,
      ofOneBeforeUs: `${host}.${process.pid}.b`,
      ofTheLiving: `${host}.${process.ppid}.c`,
      ofAnotherHost: "elsewhere.1.d",
      ofAnotherHostLongAgo: "elsewhere.1.e",
    };
    for (const name of Object.values(names)) await writeFile(join(place, name), "half");
    await utimes(join(place, names.ofAnotherHostLongAgo), old, old);
    expect(await createDiskRecordings(folder, 0).tidy()).toBe(2);
    expect((await readdir(place)).sort()).toEqual(
      [names.ofOneBeforeUs, names.ofTheLiving, names.ofAnotherHost].sort(),
    );
    await rm(place, { recursive: true });
  });

  test("folders do not grow with the number of sessions, and a session's folder goes with its audio", async () => {
    const store = stores.get("disk") as RecordingStore;
    const keys = Array.from({ length: 60 }, (_, n) => newObjectKey(project, `many-${n}`, "wav"));
    await Promise.all(keys.map((key) => store.write(key, bytesOf(wav), "audio/wav")));
    const shards = await readdir(join(folder, "projects", project, "sessions"));
    expect(shards.length).toBeGreaterThan(30);
    expect(shards.every((name) => /^[0-9a-f]{2}$/.test(name))).toBe(true);
    for (const key of keys) await store.remove(key);
    const left = await readdir(join(folder, "projects", project), { recursive: true });
    expect(left.filter((path) => path.includes("many-"))).toEqual([]);
  });

  test("writes and removals of one session at a time leave what was written last", async () => {
    const store = stores.get("disk") as RecordingStore;
    for (let round = 0; round < 100; round++) {
      const [kept, gone] = [newObjectKey(project, "busy", "wav"), newObjectKey(project, "busy", "wav")];
      await store.write(gone, bytesOf(wav), "audio/wav");
      await Promise.all([store.remove(gone), store.write(kept, bytesOf(wav), "audio/wav")]);
      expect((await readFile(join(folder, kept))).equals(wav)).toBe(true);
      await store.remove(kept);
    }
  });
});

describe("a key", () => {
  test.each([".", "..", "...", "a:b", "x".repeat(128), "A.b_c-d"])(
    "of session %j stays under its project",
    (id) => {
      const key = newObjectKey(project, id, "ogg");
      expect(key).toMatch(
        new RegExp(
          `^projects/${project}/sessions/[0-9a-f]{2}/[0-9a-f]{2}/[A-Za-z0-9._=-]+/[0-9a-f-]{36}\\.ogg$`,
        ),
      );
      expect(key.split("/").some((part) => /^\.+$/.test(part))).toBe(false);
      expect(newObjectKey(project, id, "ogg")).not.toBe(key);
    },
  );
});

describe("SENDOFF_RECORDINGS", () => {
  test("a bucket with its prefix, endpoint and region is read", () => {
    expect(parseBucket("s3://calls")).toEqual({
      bucket: "calls",
      prefix: "",
      endpoint: null,
      region: null,
      pathStyle: false,
    });
    expect(
      parseBucket("s3://calls/a/b/?endpoint=http://127.0.0.1:9000/&region=eu-1&pathStyle=false"),
    ).toEqual({
      bucket: "calls",
      prefix: "a/b/",
      endpoint: "http://127.0.0.1:9000",
      region: "eu-1",
      pathStyle: false,
    });
  });

  test.each([
    "calls",
    "/var/recordings",
    "https://calls.s3.amazonaws.com",
    "s3://",
    "s3://key:secret@calls",
    "s3://calls/a%20b",
    "s3://calls?endpont=http://127.0.0.1",
    "s3://calls?endpoint=ftp://127.0.0.1",
    "s3://calls?pathStyle=yes",
    "s3://calls?region=a&region=b",
    "s3://calls#x",
  ])("%j is refused", (text) => {
    expect(parseBucket(text)).toBeNull();
  });
});
