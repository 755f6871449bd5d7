/** A kind of audio that is taken. */
export interface AudioType {
  readonly contentType: "audio/ogg" | "audio/mpeg" | "audio/wav" | "audio/webm";
  readonly extension: "ogg" | "mp3" | "wav" | "webm";
}

const ogg: AudioType = { contentType: "audio/ogg", extension: "ogg" };
const mp3: AudioType = { contentType: "audio/mpeg", extension: "mp3" };
const wav: AudioType = { contentType: "audio/wav", extension: "wav" };
const webm: AudioType = { contentType: "audio/webm", extension: "webm" };

/** So many bytes from the beginning are enough to tell. */
export const sniffBytes = 4_096;

/** What audio is by its first bytes: real recordings lie about their type. null: none that is taken. */
export function audioTypeOf(head: Buffer): AudioType | null {
  const text = (from: number, to: number): string => head.toString("latin1", from, to);
  if (text(0, 4) === "OggS") return isOggAudio(text(0, 300)) ? ogg : null;
  if ((text(0, 4) === "RIFF" || text(0, 4) === "RF64") && text(8, 12) === "WAVE") return wav;
  // EBML, which is Matroska too: both are played alike.
  if (head.length >= 4 && head.readUInt32BE(0) === 0x1a45dfa3)
    return /webm|matroska/.test(text(0, 80)) ? webm : null;
  if (text(0, 3) === "ID3") return mp3;
  const frame = mpegFrameAt(head, 0);
  if (frame === null) return null;
  // Two bytes of eleven ones are soon found in anything; a second frame where the first one says is not.
  const second = head.length > frame.bytes + 4 ? mpegFrameAt(head, frame.bytes) : frame;
  return second === null ? null : mp3;
}

/** The codec stands at the beginning of an Ogg file's first packet. Video is not taken. */
const isOggAudio = (text: string): boolean =>
  ["OpusHead", "\u0001vorbis", "Speex   ", "\u007fFLAC"].some((codec) => text.includes(codec));

/** One frame of MPEG audio. */
export interface MpegFrame {
  readonly bytes: number;
  readonly samples: number;
  readonly samplesPerSecond: number;
}

// Kilobits a second by the index in the header: layers 1, 2 and 3 of MPEG-1; then layer 1, and layers 2 and 3 of MPEG-2.
const bitrates = {
  v1l1: [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  v1l2: [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  v1l3: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  v2l1: [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  v2l23: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
} as const;

/** The frame whose header stands at a place of a buffer; null when there is no valid one (ISO 11172-3, 2.4.1.3). */
export function mpegFrameAt(buffer: Buffer, at: number): MpegFrame | null {
  if (buffer.length < at + 4) return null;
  const [b1, b2, b3] = [buffer[at], buffer[at + 1], buffer[at + 2]] as [number, number, number];
  if (b1 !== 0xff || (b2 & 0xe0) !== 0xe0) return null;
  const version = (b2 >> 3) & 3;
  const layer = 4 - ((b2 >> 1) & 3);
  const rate = [44_100, 48_000, 32_000][(b3 >> 2) & 3];
  if (version === 1 || layer === 4 || rate === undefined) return null;
  const first = version === 3;
  const table = first
    ? ([bitrates.v1l1, bitrates.v1l2, bitrates.v1l3] as const)[layer - 1]
    : layer === 1
      ? bitrates.v2l1
      : bitrates.v2l23;
  // 0 would be "free", of which nobody can tell the frame's length.
  const kilobits = table?.[b3 >> 4];
  if (!kilobits) return null;
  const samplesPerSecond = rate / (first ? 1 : version === 2 ? 2 : 4);
  const padding = (b3 >> 1) & 1;
  if (layer === 1) {
    const bytes = (Math.floor((12_000 * kilobits) / samplesPerSecond) + padding) * 4;
    return { bytes, samples: 384, samplesPerSecond };
  }
  const samples = layer === 3 && !first ? 576 : 1_152;
  return {
    bytes: Math.floor((samples * 125 * kilobits) / samplesPerSecond) + padding,
    samples,
    samplesPerSecond,
  };
}
