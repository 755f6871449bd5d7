// Strangers' audio is parsed in a thread with bounds, in linear time, whatever its bytes are.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { realRecordings, toneWav } from "../../../test/audio.ts";
import { Examination, type Findings } from "../src/recordings/examination.ts";
import { createExaminer, type Examiner, HarmfulAudio } from "../src/recordings/examiner.ts";
import { createMp3Decoder } from "../src/recordings/mp3.ts";

const mib = 2 ** 20;
const types = ["audio/ogg", "audio/mpeg", "audio/wav", "audio/webm"] as const;
const examiners: Examiner[] = [];
afterEach(async () => {
  for (const one of examiners.splice(0)) await one.rest();
});
const never = new AbortController().signal;

function examiner(...given: Parameters<typeof createExaminer>): Examiner {
  const one = createExaminer(...given);
  examiners.push(one);
  return one;
}

async function* chunks(audio: Buffer, chunk = 64 * 1_024): AsyncGenerator<Buffer> {
  for (let at = 0; at < audio.length; at += chunk) yield audio.subarray(at, at + chunk);
}

/** In this thread. */
async function examined(contentType: string, audio: Buffer, piece = 32 * 1_024): Promise<Findings> {
  const examination = await Examination.begin(contentType);
  for (let at = 0; at < audio.length; at += piece) await examination.add(audio.subarray(at, at + piece));
  const findings = examination.end();
  examination.free();
  return findings;
}

/** A page of Ogg with packets of these bytes. */
function oggPage(packets: Buffer[], granule: bigint): Buffer {
  const head = Buffer.alloc(27 + packets.length);
  head.write("OggS");
  head.writeBigInt64LE(granule, 6);
  head.writeUInt32LE(7, 14);
  head[26] = packets.length;
  for (const [at, packet] of packets.entries()) head[27 + at] = packet.length;
  return Buffer.concat([head, ...packets]);
}
const opusHead = Buffer.from("OpusHead\x01\x01\x38\x01\x80\xbb\0\0\0\0\0", "latin1");
/** Packets of one byte, each of which is 60 ms of nothing: 250 times as much audio a byte as speech has. */
const opusBomb = (bytes: number): Buffer => {
  const page = oggPage(
    Array.from({ length: 255 }, () => Buffer.from([0x58])),
    0n,
  );
  const head = [oggPage([opusHead], 0n), oggPage([Buffer.from("OpusTags")], 0n)];
  return Buffer.concat([...head, ...Array.from({ length: Math.ceil(bytes / page.length) }, () => page)]);
};

/** Audio of as many bytes as are asked for that was, or might be, slow to parse. */
const hostile: ReadonlyArray<readonly [string, string, (bytes: number) => Buffer]> = [
  [
    "zeros as MP3",
    "audio/mpeg",
    (bytes) => Buffer.concat([Buffer.from("ID3\x04\0\0\0\0\0\0"), Buffer.alloc(bytes)]),
  ],
  ["ones as MP3", "audio/mpeg", (bytes) => Buffer.alloc(bytes, 0xff)],
  ["headers of MP3 without frames", "audio/mpeg", (bytes) => Buffer.alloc(bytes, Buffer.from("fff2", "hex"))],
  ["empty tags as MP3", "audio/mpeg", (bytes) => Buffer.alloc(bytes, "ID3\x04\0\0\0\0\0\0")],
  [
    "smallest frames of MP3",
    "audio/mpeg",
    (bytes) => Buffer.alloc(bytes, Buffer.from(`fff314c4${"00".repeat(20)}`, "hex")),
  ],
  ["page heads of Ogg", "audio/ogg", (bytes) => Buffer.alloc(bytes, "OggS")],
  ["nearly page heads of Ogg", "audio/ogg", (bytes) => Buffer.alloc(bytes, "OggOgg")],
  ["empty pages of Ogg", "audio/ogg", (bytes) => Buffer.alloc(bytes, oggPage([], 0n))],
  ["empty packets of Opus", "audio/ogg", opusBomb],
  [
    "empty chunks of WAV",
    "audio/wav",
    (bytes) => Buffer.concat([Buffer.from("RIFF....WAVE"), Buffer.alloc(bytes, "LIST\0\0\0\0")]),
  ],
  [
    "formats of WAV",
    "audio/wav",
    (bytes) =>
      Buffer.concat([Buffer.from("RIFF....WAVE"), Buffer.alloc(bytes, "fmt \x10\0\0\0aaaaaaaaaaaaaaaa")]),
  ],
  ["heads of WebM", "audio/webm", (bytes) => Buffer.alloc(bytes, Buffer.from("1549a9662ad7b14489", "hex"))],
];

describe("the time that parsing takes", () => {
  test.each(hostile)("grows with the bytes alone: %s", async (_, contentType, make) => {
    // Of the processor, so that a machine that is busy with something else does not count.
    const msOf = async (bytes: number): Promise<number> => {
      const audio = make(bytes);
      const from = process.cpuUsage();
      // As one piece: in small ones quadratic time within each would look linear.
      await examined(contentType, audio, audio.length);
      const { user, system } = process.cpuUsage(from);
      return (user + system) / 1_000;
    };
    await msOf(mib / 8);
    const [small, large] = [await msOf(mib / 8), await msOf(mib / 2)];
    // Four times the bytes: four times as long, and sixteen if it were quadratic.
    expect(large).toBeLessThan(small * 9 + 100);
    expect(large).toBeLessThan(20_000);
  });
});

describe("parsing", () => {
  test("finds some length and waveform, or none, and never throws, whatever the bytes are and however they come", async () => {
    const real = await readFile(join(realRecordings, "5e27289eb25ca9600ababa0700b4c1a7.mp3"));
    const starts = [
      ...hostile.map(([, , make]) => make(600)),
      real.subarray(0, 3_000),
      toneWav(0.05),
      Buffer.concat([oggPage([opusHead], 0n), oggPage([Buffer.from("OpusTags")], 0n)]),
    ];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...starts),
        fc.uint8Array({ maxLength: 3_000 }),
        fc.array(fc.tuple(fc.nat(2_999), fc.nat(255)), { maxLength: 20 }),
        fc.constantFrom(...types),
        fc.integer({ min: 1, max: 900 }),
        async (start, rest, changes, type, piece) => {
          const audio = Buffer.concat([start, rest]);
          for (const [at, byte] of changes) if (at < audio.length) audio[at] = byte;
          const { seconds, peaks, sha256 } = await examined(type, audio, piece);
          expect(sha256).toBe(createHash("sha256").update(audio).digest("hex"));
          expect(seconds === null || (Number.isFinite(seconds) && seconds >= 0)).toBe(true);
          for (const part of peaks?.channels.flat() ?? []) expect(part >= 0 && part <= 1).toBe(true);
        },
      ),
      { numRuns: 400, seed: 15 },
    );
  });

  test("of MP3 finds the samples that are there, however it comes", async () => {
    const real = await readFile(join(realRecordings, "10fb76fde35096a298fb3467c455a405.mp3"));
    const samplesOf = async (piece: number): Promise<number[]> => {
      const decoder = await createMp3Decoder();
      const samples: number[] = [];
      for (let at = 0; at < real.length; at += piece) {
        for await (const { channels } of decoder.decode(real.subarray(at, at + piece))) {
          for (const sample of channels[0] ?? []) samples.push(sample);
        }
      }
      return samples;
    };
    const whole = await samplesOf(real.length);
    expect(whole.length).toBe(57_024);
    // Loud where the waveform says so; stale memory of the decoder would be loud from the first sample on.
    expect(Math.max(...whole.slice(0, 1_000).map(Math.abs))).toBeLessThan(0.01);
    expect(Math.max(...whole.map(Math.abs))).toBeGreaterThan(0.9);
    expect(await samplesOf(1_000)).toEqual(whole);
  });

  test("of a small file that stands for hours of silence gives its waveform up", async () => {
    const { peaks } = await examined("audio/ogg", opusBomb(mib));
    expect(peaks).toBeNull();
    expect((await examined("audio/ogg", opusBomb(2_000))).peaks?.seconds).toBeGreaterThan(30);
  });
});

describe("the thread", () => {
  test("finds what parsing finds, for several at a time", async () => {
    const one = examiner();
    const mp3 = await readFile(join(realRecordings, "a0278ce2b3a3c23e4750349a88e583fd.mp3"));
    const wav = toneWav(2, 2);
    const found = await Promise.all([
      one.examine("audio/mpeg", chunks(mp3), never),
      one.examine("audio/wav", chunks(wav), never),
      one.examine("audio/webm", chunks(wav), never),
    ]);
    expect(found).toEqual([
      await examined("audio/mpeg", mp3),
      await examined("audio/wav", wav),
      await examined("audio/webm", wav),
    ]);
  });

  test("lets a short recording end while a long one is under way", async () => {
    const one = examiner();
    const ended: string[] = [];
    const long = one.examine("audio/wav", chunks(toneWav(600)), never).then(() => ended.push("long"));
    const short = one.examine("audio/wav", chunks(toneWav(1)), never).then(() => ended.push("short"));
    await Promise.all([long, short]);
    expect(ended).toEqual(["short", "long"]);
  });

  test("never keeps the process from its other work for 50 ms, whatever it parses", async () => {
    const one = examiner();
    const delay = monitorEventLoopDelay({ resolution: 5 });
    const audio = hostile.map(([, contentType, make]) => [contentType, make(mib / 8)] as const);
    delay.enable();
    for (const [contentType, bytes] of audio) await one.examine(contentType, chunks(bytes), never);
    delay.disable();
    const p99 = delay.percentile(99) / 1e6;
    console.log(`event loop: p99 ${p99.toFixed(1)} ms, longest ${(delay.max / 1e6).toFixed(1)} ms`);
    // Of the resolution a part is in it. On a machine that is busy a single gap is the machine's.
    expect(p99).toBeLessThan(50);
  });

  test.each([
    ["takes too long", "for (;;);", { pieceMs: 500, memoryMb: 64 }, "more than 0.5 s"],
    [
      "takes too much memory",
      "const all = []; for (;;) all.push(new Array(1e5).fill({}));",
      { pieceMs: 60_000, memoryMb: 32 },
      "memory",
    ],
  ])("that %s is ended, and the next recording is examined in a new one", async (_, code, limits, reason) => {
    // What no audio is known to do: the real thread, with a piece of a certain size doing it.
    const real = new URL("../dist/recordings/examine-thread.js", import.meta.url);
    const file = new URL(
      `data:text/javascript,${encodeURIComponent(
        `import { parentPort } from "node:worker_threads";
         await import(${JSON.stringify(pathToFileURL(real.pathname).href)});
         parentPort.on("message", ({ ask }) => { if (ask.piece?.length === 13) { ${code} } });`,
      )}`,
    );
    const one = examiner(limits, file);
    // Another one under way in the same thread is not to blame: it comes again.
    let begun = (): void => {};
    const underWay = new Promise<void>((resolve) => {
      begun = resolve;
    });
    let goOn = (): void => {};
    const ended = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    async function* slow(): AsyncGenerator<Buffer> {
      yield toneWav(0.1);
      begun();
      await ended;
      yield toneWav(0.1);
    }
    const innocent = one.examine("audio/wav", slow(), never);
    await underWay;
    const harmful = one.examine("audio/wav", chunks(Buffer.alloc(13)), never).finally(goOn);
    const error = await harmful.catch((thrown: Error) => thrown);
    expect(error).toBeInstanceOf(HarmfulAudio);
    expect(error).toMatchObject({ message: expect.stringContaining(reason) });
    expect(await innocent).toBeNull();
    expect((await one.examine("audio/wav", chunks(toneWav(1)), never))?.seconds).toBe(1);
  });

  test("that is stopped says that it is to be done again", async () => {
    const stopping = new AbortController();
    async function* audio(): AsyncGenerator<Buffer> {
      yield toneWav(1);
      stopping.abort();
      yield toneWav(1);
    }
    expect(await examiner().examine("audio/wav", audio(), stopping.signal)).toBeNull();
  });
});
