/** A call as a stereo WAV file: one side speaks, then the other. 8 kHz, 16 bits. */
export function callAudio(seconds: number): Buffer {
  const rate = 8_000;
  const frames = rate * seconds;
  const samples = Buffer.alloc(frames * 4);
  for (let frame = 0; frame < frames; frame += 1) {
    const at = frame / rate;
    const speaks = Math.floor(at * 1.5) % 2;
    const loudness = 0.7 * Math.abs(Math.sin(at * 9)) * Math.abs(Math.sin(at * 2.3));
    const value = Math.round(Math.sin(at * 2 * Math.PI * 220) * loudness * 32_000);
    samples.writeInt16LE(speaks === 0 ? value : 0, frame * 4);
    samples.writeInt16LE(speaks === 1 ? value : 0, frame * 4 + 2);
  }
  const head = Buffer.alloc(44);
  head.write("RIFF", 0);
  head.writeUInt32LE(36 + samples.length, 4);
  head.write("WAVEfmt ", 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(2, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 4, 28);
  head.writeUInt16LE(4, 32);
  head.writeUInt16LE(16, 34);
  head.write("data", 36);
  head.writeUInt32LE(samples.length, 40);
  return Buffer.concat([head, samples]);
}
