import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

/** Real recordings of calls, beside the checkout. */
export const realRecordings = resolve(import.meta.dirname, "../../shared/data/recordings");

/** A tone as a WAV file: 16 bits, 8,000 samples a second, one channel or two with the second one silent. */
export function toneWav(seconds: number, channels: 1 | 2 = 1): Buffer {
  const frames = Math.round(seconds * 8_000);
  const wav = Buffer.alloc(44 + frames * channels * 2);
  wav.write("RIFF", 0);
  wav.writeUInt32LE(wav.length - 8, 4);
  wav.write("WAVEfmt ", 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(channels, 22);
  wav.writeUInt32LE(8_000, 24);
  wav.writeUInt32LE(8_000 * channels * 2, 28);
  wav.writeUInt16LE(channels * 2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write("data", 36);
  wav.writeUInt32LE(frames * channels * 2, 40);
  for (let frame = 0; frame < frames; frame++) {
    const sample = Math.round(16_384 * Math.sin((2 * Math.PI * 440 * frame) / 8_000));
    wav.writeInt16LE(sample, 44 + frame * channels * 2);
  }
  return wav;
}

/** Puts audio at a key of a server's disk, as a runtime does that stores it itself. */
export async function placeAudio(
  dataFolder: string,
  objectKey: string,
  audio: Uint8Array | string = toneWav(0.1),
): Promise<string> {
  const file = join(dataFolder, "recordings", objectKey);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, audio);
  return file;
}
