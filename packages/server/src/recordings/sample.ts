import { isKeyOfProject } from "./keys.ts";

const sampleName = "sendoff-test/audio.wav";
const samplesPerSecond = 8_000;
const samples = samplesPerSecond / 2;

/** Key of the audio that the link of a test event leads to. */
export const sampleKey = (projectId: string): string => `projects/${projectId}/${sampleName}`;

export function isSampleKey(objectKey: string): boolean {
  const projectId = objectKey.split("/")[1] ?? "";
  return isKeyOfProject(objectKey, projectId) && objectKey === sampleKey(projectId);
}

/** Half a second of a tone as a WAV file: 8 bits, mono. It needs no object store. */
export function sampleAudio(): Buffer {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(samplesPerSecond, 24);
  header.writeUInt32LE(samplesPerSecond, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples, 40);
  const tone = Array.from({ length: samples }, (_, at) =>
    Math.round(128 + 60 * Math.sin((2 * Math.PI * 440 * at) / samplesPerSecond)),
  );
  return Buffer.concat([header, Buffer.from(tone)]);
}
