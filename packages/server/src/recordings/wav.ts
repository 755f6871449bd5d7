import type { Decoded, Decoder } from "./decoder.ts";

/** How the samples of a WAV file are written: its "fmt " chunk. */
interface Format {
  readonly channels: number;
  readonly samplesPerSecond: number;
  readonly sampleBytes: number;
  readonly sampleAt: (bytes: Buffer, at: number) => number;
}

const headerMax = 64 * 1_024;

/** Decodes WAV: whole numbers of 8 to 32 bits, floats of 32, and the A-law and µ-law of telephony. */
export function createWavDecoder(): Decoder {
  let rest = Buffer.alloc(0);
  let format: Format | null = null;
  let begun = false;
  return {
    async *decode(chunk) {
      rest = Buffer.concat([rest, chunk]);
      if (!begun) {
        const header = headerOf(rest);
        if (header === null) {
          if (rest.length > headerMax) throw new Error("this WAV has no samples at its beginning");
          return;
        }
        begun = true;
        format = header.format;
        rest = rest.subarray(header.bytes);
      }
      if (format === null) throw new Error("this WAV has samples of a kind that is not known");
      const frameBytes = format.channels * format.sampleBytes;
      const frames = Math.floor(rest.length / frameBytes);
      const decoded = samplesOf(rest, frames, format);
      rest = Buffer.from(rest.subarray(frames * frameBytes));
      if (frames > 0) yield decoded;
    },
    free() {},
  };
}

function samplesOf(
  bytes: Buffer,
  frames: number,
  { channels, sampleBytes, samplesPerSecond, sampleAt }: Format,
): Decoded {
  const samples = Array.from({ length: Math.min(2, channels) }, () => new Float32Array(frames));
  for (const [channel, out] of samples.entries()) {
    for (let frame = 0; frame < frames; frame++) {
      out[frame] = sampleAt(bytes, (frame * channels + channel) * sampleBytes);
    }
  }
  return { channels: samples, samplesPerSecond };
}

/** Where the samples begin and how they are written; null while that has not come. */
function headerOf(bytes: Buffer): { bytes: number; format: Format | null } | null {
  let format: Format | null = null;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const name = bytes.toString("latin1", at, at + 4);
    const size = bytes.readUInt32LE(at + 4);
    if (name === "data") return { bytes: at + 8, format };
    if (name === "fmt ") {
      if (bytes.length < at + 8 + Math.max(16, Math.min(size, 40))) return null;
      format = formatOf(bytes.subarray(at + 8));
    }
    at += 8 + size + (size % 2);
  }
  return null;
}

function formatOf(chunk: Buffer): Format | null {
  const bits = chunk.readUInt16LE(14);
  // "Extensible": what it really is stands further on.
  const tag =
    chunk.readUInt16LE(0) === 0xfffe && chunk.length >= 26 ? chunk.readUInt16LE(24) : chunk.readUInt16LE(0);
  const channels = chunk.readUInt16LE(2);
  const samplesPerSecond = chunk.readUInt32LE(4);
  const sampleAt = readers[`${tag}:${bits}`];
  if (sampleAt === undefined || channels < 1 || channels > 16 || samplesPerSecond === 0) return null;
  return { channels, samplesPerSecond, sampleBytes: bits / 8, sampleAt };
}

/** How a sample is read, by the format's tag and bits. */
const readers: Readonly<Record<string, Format["sampleAt"]>> = {
  "1:8": (bytes, at) => ((bytes[at] as number) - 128) / 128,
  "1:16": (bytes, at) => bytes.readInt16LE(at) / 0x8000,
  "1:24": (bytes, at) => bytes.readIntLE(at, 3) / 0x80_0000,
  "1:32": (bytes, at) => bytes.readInt32LE(at) / 0x8000_0000,
  "3:32": (bytes, at) => bytes.readFloatLE(at),
  "6:8": (bytes, at) => alaw(bytes[at] as number),
  "7:8": (bytes, at) => mulaw(bytes[at] as number),
};

/** ITU-T G.711, A-law. */
function alaw(byte: number): number {
  const value = byte ^ 0x55;
  const exponent = (value >> 4) & 7;
  const mantissa = ((value & 15) << 4) + 8;
  const magnitude = exponent === 0 ? mantissa : (mantissa + 0x100) << (exponent - 1);
  return (value & 0x80 ? magnitude : -magnitude) / 0x8000;
}

/** ITU-T G.711, µ-law. */
function mulaw(byte: number): number {
  const value = ~byte & 0xff;
  const magnitude = ((((value & 15) << 3) + 0x84) << ((value >> 4) & 7)) - 0x84;
  return (value & 0x80 ? -magnitude : magnitude) / 0x8000;
}
