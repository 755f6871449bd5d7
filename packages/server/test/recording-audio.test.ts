// What audio is, how long it is and how it looks, by its bytes, and what strangers' bytes can do.
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { realRecordings, toneWav } from "../../../test/audio.ts";
import { createMeter } from "../src/recordings/meter.ts";
import { Waveform } from "../src/recordings/peaks.ts";
import { rangeOf } from "../src/recordings/range.ts";
import { audioTypeOf } from "../src/recordings/sniff.ts";
import { createWavDecoder } from "../src/recordings/wav.ts";

/** Seconds of audio that comes in pieces of so many bytes. */
function secondsOf(contentType: string, audio: Uint8Array, piece: number): number | null {
  const meter = createMeter(contentType);
  for (let at = 0; at < audio.length; at += piece) meter.add(audio.subarray(at, at + piece));
  return meter.seconds();
}

/** A page of Ogg. */
function oggPage(serial: number, granule: bigint, packet: Buffer): Buffer {
  const head = Buffer.alloc(27);
  head.write("OggS");
  head.writeBigInt64LE(granule, 6);
  head.writeUInt32LE(serial, 14);
  const lengths = [
    ...Array.from({ length: Math.floor(packet.length / 255) }, () => 255),
    packet.length % 255,
  ];
  head[26] = lengths.length;
  return Buffer.concat([head, Buffer.from(lengths), packet]);
}

function opusHead(preSkip: number): Buffer {
  const head = Buffer.alloc(19);
  head.write("OpusHead");
  head[8] = 1;
  head[9] = 2;
  head.writeUInt16LE(preSkip, 10);
  return head;
}

const opus = Buffer.concat([
  oggPage(7, 0n, opusHead(312)),
  oggPage(7, 0n, Buffer.from("OpusTags")),
  ...Array.from({ length: 50 }, (_, n) => oggPage(7, BigInt((n + 1) * 48_000), Buffer.alloc(3_000, n))),
  // Another stream in the same file does not count.
  oggPage(8, 999_999_999n, Buffer.alloc(10)),
]);

function webm(duration: Buffer, scale?: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from("1a45dfa39f4286810142f7810142f2810442f381084282847765626d", "hex"),
    Buffer.from("1549a966", "hex"),
    Buffer.from([0xa0]),
    ...(scale === undefined ? [] : [Buffer.from([0x2a, 0xd7, 0xb1, 0x80 + scale.length]), scale]),
    Buffer.from([0x44, 0x89, 0x80 + duration.length]),
    duration,
    Buffer.alloc(64),
  ]);
}
const double = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
};

describe("the length of audio", () => {
  test.each([1, 7, 64, 1_000, 65_536, 10_000_000])(
    "is the same however it comes: in pieces of %i bytes",
    async (piece) => {
      expect(secondsOf("audio/wav", toneWav(3), piece)).toBe(3);
      expect(secondsOf("audio/ogg", opus, piece)).toBe(
        Math.round(((50 * 48_000 - 312) / 48_000) * 1_000) / 1_000,
      );
      const [name = ""] = (await readdir(realRecordings)).filter((file) => file.startsWith("5e27"));
      expect(secondsOf("audio/mpeg", await readFile(join(realRecordings, name)), piece)).toBe(1.008);
      expect(secondsOf("audio/webm", webm(double(2_500)), piece)).toBe(2.5);
    },
  );

  test("is told of a WAV whose writer did not know it, by the bytes that are there", () => {
    const wav = toneWav(2);
    for (const unknown of [0, 0xffff_ffff]) {
      wav.writeUInt32LE(unknown, 40);
      expect(secondsOf("audio/wav", wav, 1_000)).toBe(2);
    }
    const promising = toneWav(2);
    promising.writeUInt32LE(1_000_000_000, 40);
    expect(secondsOf("audio/wav", promising, 1_000)).toBe(2);
  });

  test("is not told where the bytes do not tell", () => {
    expect(secondsOf("audio/webm", webm(Buffer.from([1])), 100)).toBeNull();
    expect(secondsOf("audio/webm", webm(double(Number.NaN)), 100)).toBeNull();
    expect(secondsOf("audio/ogg", oggPage(1, 5n, Buffer.from("fishead\0")), 100)).toBeNull();
    expect(secondsOf("audio/mpeg", Buffer.from("ID3\x04\0\0\0\0\0\x0ano frames"), 100)).toBeNull();
    expect(secondsOf("application/octet-stream", Buffer.alloc(100), 10)).toBeNull();
  });

  test("never throws and never waits, whatever the bytes are", () => {
    const starts = ["OggS", "ID3\x04", "RIFF\xff\xff\xff\xffWAVE", "\x1aE\xdf\xa3", "\xff\xfb\x90d", ""];
    const types = ["audio/ogg", "audio/mpeg", "audio/wav", "audio/webm"];
    fc.assert(
      fc.property(
        fc.constantFrom(...starts),
        fc.uint8Array({ maxLength: 2_000 }),
        fc.constantFrom(...types),
        fc.integer({ min: 1, max: 300 }),
        (start, rest, type, piece) => {
          const bytes = Buffer.concat([Buffer.from(start, "latin1"), rest]);
          audioTypeOf(bytes);
          const seconds = secondsOf(type, bytes, piece);
          expect(seconds === null || (Number.isFinite(seconds) && seconds >= 0)).toBe(true);
        },
      ),
      { numRuns: 2_000, seed: 6 },
    );
  });
});

describe("what audio is", () => {
  test.each([
    ["audio/ogg", opus],
    ["audio/ogg", oggPage(1, 0n, Buffer.from("\x01vorbis-------"))],
    ["audio/wav", toneWav(0.1)],
    ["audio/webm", webm(double(1))],
    ["audio/mpeg", Buffer.from("ID3\x03\0\0\0\0\0\0")],
    [
      "audio/mpeg",
      Buffer.concat([Buffer.from("fffb9064", "hex"), Buffer.alloc(413), Buffer.from("fffb9064", "hex")]),
    ],
  ])("%s is told by its first bytes", (type, bytes) => {
    expect(audioTypeOf(bytes)?.contentType).toBe(type);
  });

  test("is none where there is another thing, and none of a few bytes that could be anything", () => {
    for (const bytes of [
      "",
      "Ogg",
      "RIFF....AVI ",
      "fLaC",
      "%PDF-1.4",
      "\xff\xfb",
      "\xff\xff\xff\xff",
      "MZ",
    ]) {
      expect(audioTypeOf(Buffer.from(bytes, "latin1")), bytes).toBeNull();
    }
  });
});

describe("a waveform", () => {
  const drawn = (samples: number[][], piece: number): number[][] => {
    const waveform = new Waveform();
    const length = samples[0]?.length ?? 0;
    for (let at = 0; at < length; at += piece) {
      waveform.add(samples.map((channel) => Float32Array.from(channel.slice(at, at + piece))));
    }
    return waveform.channels();
  };

  test("has between 1,000 and 2,000 parts of long audio, and a part for each sample of short", () => {
    expect(drawn([[0, -0.5, 1]], 2)).toEqual([[0, 0.5, 1]]);
    for (const length of [2_000, 2_001, 100_000, 1_234_567]) {
      const waveform = new Waveform();
      waveform.add([new Float32Array(length).fill(0.25)]);
      const parts = waveform.channels()[0]?.length ?? 0;
      expect(parts).toBeGreaterThanOrEqual(1_000);
      expect(parts).toBeLessThanOrEqual(2_000);
    }
  });

  test("is the same however the samples come, and misses no peak", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -100, max: 100 }), { minLength: 1, maxLength: 9_000 }),
        fc.integer({ min: 1, max: 3_000 }),
        (values, piece) => {
          const left = values.map((value) => value / 100);
          const right = left.map((value) => value / 2);
          const whole = drawn([left, right], left.length);
          expect(drawn([left, right], piece)).toEqual(whole);
          expect(Math.max(...(whole[0] ?? []))).toBeCloseTo(Math.max(...left.map(Math.abs)), 3);
        },
      ),
      { numRuns: 40, seed: 6 },
    );
  });

  test("of two channels that are alike is one, of more than two has two, and what is no number is silence", () => {
    expect(
      drawn(
        [
          [0.1, 0.2],
          [0.1, 0.2],
        ],
        2,
      ),
    ).toEqual([[0.1, 0.2]]);
    expect(drawn([[0.1], [0.2], [0.3]], 1)).toEqual([[0.1], [0.2]]);
    expect(drawn([[Number.NaN, Number.POSITIVE_INFINITY, 2]], 3)).toEqual([[0, 1, 1]]);
  });
});

describe("WAV", () => {
  const wavOf = (tag: number, bits: number, data: Buffer): Buffer => {
    const wav = Buffer.concat([toneWav(0).subarray(0, 44), data]);
    wav.writeUInt16LE(tag, 20);
    wav.writeUInt16LE(bits / 8, 32);
    wav.writeUInt16LE(bits, 34);
    return wav;
  };
  const float = Buffer.alloc(8);
  float.writeFloatLE(0.5, 0);
  float.writeFloatLE(-1, 4);

  test.each([
    ["8 bits", wavOf(1, 8, Buffer.from([0x80, 0xc0, 0x00])), [0, 0.5, -1]],
    ["16 bits", wavOf(1, 16, Buffer.from("00000040ff7f0080", "hex")), [0, 0.5, 1, -1]],
    ["24 bits", wavOf(1, 24, Buffer.from("000040000080", "hex")), [0.5, -1]],
    ["32 bits", wavOf(1, 32, Buffer.from("0000004000000080", "hex")), [0.5, -1]],
    ["floats", wavOf(3, 32, float), [0.5, -1]],
    ["A-law", wavOf(6, 8, Buffer.from([0xd5, 0x55, 0xaa, 0x2a])), [0.0002, -0.0002, 0.984, -0.984]],
    ["µ-law", wavOf(7, 8, Buffer.from([0xff, 0x7f, 0x80, 0x00])), [0, 0, 0.98, -0.98]],
  ])("of %s is decoded, byte by byte as well", async (_, wav, expected) => {
    for (const piece of [1, 3, 1_000]) {
      const decoder = createWavDecoder();
      const samples: number[] = [];
      for (let at = 0; at < wav.length; at += piece) {
        for await (const { channels } of decoder.decode(wav.subarray(at, at + piece)))
          samples.push(...(channels[0] ?? []));
      }
      expect(samples.length).toBe(expected.length);
      for (const [at, sample] of samples.entries()) expect(sample).toBeCloseTo(expected[at] ?? 0, 2);
    }
  });

  test("of a kind that is not known, or without samples, is told so", async () => {
    await expect(
      createWavDecoder()
        .decode(wavOf(85, 16, Buffer.alloc(4)))
        .next(),
    ).rejects.toThrow("kind that is not known");
    const endless = Buffer.concat([
      Buffer.from("RIFF\0\0\0\0WAVE"),
      Buffer.from("LIST\0\0\x0f\0"),
      Buffer.alloc(70_000),
    ]);
    await expect(createWavDecoder().decode(endless).next()).rejects.toThrow("no samples");
  });
});

test("a range never goes beyond what is there", () => {
  fc.assert(
    fc.property(fc.nat(1_000), fc.option(fc.nat(2_000)), fc.option(fc.nat(2_000)), (bytes, from, to) => {
      const range = rangeOf(`bytes=${from ?? ""}-${to ?? ""}`, bytes);
      if (range === null || range === "beyond") return;
      expect(range.from).toBeGreaterThanOrEqual(0);
      expect(range.from).toBeLessThanOrEqual(range.to);
      expect(range.to).toBeLessThan(bytes);
    }),
    { numRuns: 2_000, seed: 6 },
  );
});
