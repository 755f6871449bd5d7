/** One frame of MPEG audio. */
export interface MpegFrame {
  readonly bytes: number;
  readonly samples: number;
  readonly samplesPerSecond: number;
  readonly layer: number;
  readonly channels: 1 | 2;
}

// Kilobits a second by the index in the header: layers 1, 2 and 3 of MPEG-1; then layer 1, and layers 2 and 3 of MPEG-2.
const bitrates = {
  v1l1: [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
  v1l2: [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
  v1l3: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  v2l1: [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
  v2l23: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
} as const;
const rates = [44_100, 48_000, 32_000] as const;

/** The frame whose header stands at a place of a buffer; null when there is no valid one (ISO 11172-3, 2.4.1.3). */
export function mpegFrameAt(buffer: Buffer, at: number): MpegFrame | null {
  if (buffer.length < at + 4 || buffer[at] !== 0xff) return null;
  const b2 = buffer[at + 1] as number;
  const b3 = buffer[at + 2] as number;
  if ((b2 & 0xe0) !== 0xe0) return null;
  const version = (b2 >> 3) & 3;
  const layer = 4 - ((b2 >> 1) & 3);
  const rate = rates[(b3 >> 2) & 3];
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
  const channels = (buffer[at + 3] as number) >> 6 === 3 ? 1 : 2;
  const samples = layer === 1 ? 384 : layer === 3 && !first ? 576 : 1_152;
  const bytes =
    layer === 1
      ? (Math.floor((12_000 * kilobits) / samplesPerSecond) + padding) * 4
      : Math.floor((samples * 125 * kilobits) / samplesPerSecond) + padding;
  return { bytes, samples, samplesPerSecond, layer, channels };
}

/** So many bytes have to be there for {@link mpegStep}. */
export const mpegStepBytes = 10;

/**
 * What the bytes of a stream of MPEG audio begin with: a frame, or bytes to pass over, which may be more than there are.
 * Every byte is looked at once: a search that began again at each byte would take quadratic time without a frame.
 */
export function mpegStep(bytes: Buffer): MpegFrame | number {
  if (bytes[0] === 0x49 && bytes[1] === 0x44 && bytes[2] === 0x33) {
    const size = [6, 7, 8, 9].reduce((sum, at) => sum * 128 + ((bytes[at] as number) & 127), 0);
    return 10 + size;
  }
  const frame = mpegFrameAt(bytes, 0);
  if (frame !== null) return frame;
  // Between frames may be other things; the next frame begins with eleven ones.
  const next = bytes.indexOf(0xff, 1);
  return next < 0 ? bytes.length : next;
}
