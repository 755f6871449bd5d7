/** Samples a second of the demo calls, as telephony has them. */
export const voiceRate = 16_000;

/** Both sides of a call take turns of about so many seconds. */
const turnSeconds = 2.5;

/**
 * Two that talk in turns, for so many seconds: the caller on the left, the agent on the right. No words, but voiced
 * syllables with pauses, so that a waveform and a player show what a call looks like.
 */
export function talk(seconds: number): [Float32Array, Float32Array] {
  const samples = Math.round(seconds * voiceRate);
  const sides: [Float32Array, Float32Array] = [new Float32Array(samples), new Float32Array(samples)];
  for (const [side, out] of sides.entries()) {
    const pitchHz = side === 0 ? 190 : 125;
    for (let at = 0; at < samples; at++) {
      const time = at / voiceRate;
      const turn = Math.floor(time / turnSeconds);
      if (turn % 2 === side) out[at] = 0.5 * loudness(time, turn) * voice(time, pitchHz);
    }
  }
  return sides;
}

/** Syllables, four or so a second, louder and softer, with silence at the end of a turn. */
function loudness(time: number, turn: number): number {
  const within = time % turnSeconds;
  if (within > turnSeconds - 0.4) return 0;
  const syllable = Math.max(0, Math.sin(2 * Math.PI * (3.7 + 0.3 * Math.sin(turn)) * within));
  return syllable * (0.75 + 0.25 * Math.sin(1.3 * time + turn));
}

/** A pitch that wavers, with overtones. */
function voice(time: number, pitchHz: number): number {
  const phase = 2 * Math.PI * pitchHz * (time + 0.004 * Math.sin(2 * Math.PI * 2.1 * time));
  return (
    (Math.sin(phase) + 0.5 * Math.sin(2 * phase) + 0.25 * Math.sin(3 * phase) + 0.12 * Math.sin(5 * phase)) /
    1.87
  );
}
