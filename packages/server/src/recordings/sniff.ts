import { mpegFrameAt } from "./mpeg.ts";

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
