import { mpegStep, mpegStepBytes } from "./mpeg.ts";

/**
 * Tells the length of audio from its bytes as they go by, in memory that does not grow with it. What nobody can tell
 * (most WebM, damaged files) stays null: it is shown, and nothing depends on it.
 */
export interface Meter {
  add(chunk: Uint8Array): void;
  /** Seconds so far. */
  seconds(): number | null;
}

/** @param contentType of audio, as sniff.ts tells it. */
export function createMeter(contentType: string): Meter {
  switch (contentType) {
    case "audio/ogg":
      return oggMeter();
    case "audio/mpeg":
      return mpegMeter();
    case "audio/wav":
      return wavMeter();
    default:
      return webmMeter();
  }
}

/** Bytes of which some are looked at and most are passed over. */
interface Walk {
  /** Passes over so many of the bytes that are still to come. */
  skip(bytes: number): void;
}

/**
 * Calls `look` with what has come; it answers how many bytes it has seen enough of, or 0 when it needs more. At most
 * `keepMax` bytes are kept for it: when it still wants more then, it is given up.
 */
function walker(keepMax: number, look: (bytes: Buffer, walk: Walk) => number): (chunk: Uint8Array) => void {
  let kept = Buffer.alloc(0);
  let skipping = 0;
  const walk: Walk = {
    skip(bytes) {
      skipping += bytes;
    },
  };
  return (chunk) => {
    let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (kept.length > 0) bytes = Buffer.concat([kept, bytes]);
    for (;;) {
      const over = Math.min(skipping, bytes.length);
      skipping -= over;
      bytes = bytes.subarray(over);
      if (bytes.length === 0 || skipping > 0) break;
      const seen = look(bytes, walk);
      if (seen === 0) break;
      bytes = bytes.subarray(seen);
    }
    // A copy: the chunk belongs to a stream, and a small rest would hold all of it.
    kept = Buffer.from(bytes.subarray(Math.max(0, bytes.length - keepMax)));
  };
}

/** The last page of an Ogg stream says how many samples there are (RFC 3533, section 6; RFC 7845, section 4). */
function oggMeter(): Meter {
  let samplesPerSecond = 0;
  let preSkip = 0;
  let serial: number | null = null;
  let samples = 0n;
  const pageHeadMax = 27 + 255;
  const add = walker(pageHeadMax + 64, (bytes, walk) => {
    const at = bytes.indexOf("OggS", 0, "latin1");
    if (at < 0) return Math.max(0, bytes.length - 3);
    if (at > 0) return at;
    if (bytes.length < 27) return 0;
    const segments = bytes[26] as number;
    const head = 27 + segments;
    // The first page has the codec's header as well.
    if (bytes.length < head + (serial === null ? 19 : 0)) return 0;
    const body = bytes.subarray(27, head).reduce((sum, length) => sum + length, 0);
    if (serial === null) {
      const codec = bytes.subarray(head);
      serial = bytes.readUInt32LE(14);
      if (codec.toString("latin1", 0, 8) === "OpusHead") {
        samplesPerSecond = 48_000;
        preSkip = codec.readUInt16LE(10);
      } else if (codec.toString("latin1", 1, 7) === "vorbis") samplesPerSecond = codec.readUInt32LE(12);
    } else if (bytes.readUInt32LE(14) === serial) {
      const granule = bytes.readBigInt64LE(6);
      if (granule > samples) samples = granule;
    }
    walk.skip(body);
    return head;
  });
  return {
    add,
    seconds: () =>
      samplesPerSecond === 0 || samples === 0n
        ? null
        : rounded(Math.max(0, Number(samples) - preSkip) / samplesPerSecond),
  };
}

/** MPEG audio is frames of so many samples each, one after another. */
function mpegMeter(): Meter {
  let seconds = 0;
  const add = walker(16, (bytes, walk) => {
    if (bytes.length < mpegStepBytes) return 0;
    const step = mpegStep(bytes);
    if (typeof step !== "number") seconds += step.samples / step.samplesPerSecond;
    const over = typeof step === "number" ? step : step.bytes;
    const seen = Math.min(over, bytes.length);
    walk.skip(over - seen);
    return seen;
  });
  return { add, seconds: () => (seconds === 0 ? null : rounded(seconds)) };
}

/** Chunks of a RIFF file: "fmt " says how many bytes a second has, "data" has them. */
function wavMeter(): Meter {
  let bytesPerSecond = 0;
  let dataBytes: number | null = null;
  let begun = false;
  let ended = false;
  const header = walker(64, (bytes, walk) => {
    if (bytes.length < 12) return 0;
    if (!begun) {
      begun = true;
      return 12;
    }
    const name = bytes.toString("latin1", 0, 4);
    const size = bytes.readUInt32LE(4);
    if (name === "fmt ") {
      if (bytes.length < 20) return 0;
      bytesPerSecond = bytes.readUInt32LE(16);
    }
    if (name === "data" && dataBytes === null) {
      // A writer that did not know how much would come has left 0 or all ones.
      if (size === 0 || size >= 0xffff_0000) ended = true;
      dataBytes = size;
    }
    walk.skip(ended ? Number.MAX_SAFE_INTEGER : size + (size % 2));
    return 8;
  });
  let bytesSeen = 0;
  return {
    add(chunk) {
      bytesSeen += chunk.byteLength;
      header(chunk);
    },
    seconds() {
      if (bytesPerSecond === 0 || dataBytes === null) return null;
      // What is not there does not sound, whatever the header says.
      const there = Math.max(0, bytesSeen - 44);
      return rounded((ended ? there : Math.min(dataBytes, there)) / bytesPerSecond);
    },
  };
}

/** The duration in a WebM file's head, when its writer knew it (Matroska, elements 2AD7B1 and 4489). */
function webmMeter(): Meter {
  const start = Buffer.alloc(64 * 1_024);
  let filled = 0;
  return {
    add(chunk) {
      const taken = chunk.subarray(0, start.length - filled);
      start.set(taken, filled);
      filled += taken.length;
    },
    seconds() {
      const head = start.subarray(0, filled);
      const info = head.indexOf(Buffer.from([0x15, 0x49, 0xa9, 0x66]));
      if (info < 0) return null;
      const within = head.subarray(info, info + 512);
      const scale = elementOf(within, [0x2a, 0xd7, 0xb1]);
      const duration = elementOf(within, [0x44, 0x89]);
      if (duration === null || (duration.length !== 4 && duration.length !== 8)) return null;
      const units = duration.length === 4 ? duration.readFloatBE(0) : duration.readDoubleBE(0);
      const nanoseconds =
        scale === null || scale.length === 0 || scale.length > 6
          ? 1_000_000
          : scale.readUIntBE(0, scale.length);
      const seconds = (units * nanoseconds) / 1e9;
      return Number.isFinite(seconds) && seconds > 0 ? rounded(seconds) : null;
    },
  };
}

/** Content of an element of up to 8 bytes; null when it is not there whole. */
function elementOf(bytes: Buffer, id: readonly number[]): Buffer | null {
  const at = bytes.indexOf(Buffer.from(id));
  const length = bytes[at + id.length];
  if (at < 0 || length === undefined || length < 0x80 || length > 0x88) return null;
  const from = at + id.length + 1;
  const content = bytes.subarray(from, from + (length & 0x7f));
  return content.length === (length & 0x7f) ? content : null;
}

const rounded = (seconds: number): number => Math.round(seconds * 1_000) / 1_000;
