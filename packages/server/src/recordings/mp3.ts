import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Decoded, Decoder } from "./decoder.ts";
import { type MpegFrame, mpegStep, mpegStepBytes } from "./mpeg.ts";

/** As much of it as is used here: its types are among those of a browser. */
declare const WebAssembly: {
  instantiate(
    code: Uint8Array,
    imports: object,
  ): Promise<{ readonly instance: { readonly exports: unknown } }>;
};

/** What minimp3-wasm exports: minimp3 without SIMD, and memory for one input and its samples. */
interface Minimp3 {
  readonly memory: { readonly buffer: ArrayBuffer };
  decoder_init(): void;
  decoder_set_mp3_data_size(bytes: number): void;
  decoder_mp3_data_offset(): number;
  decoder_decode(seconds: number): void;
  decoder_pcm_data_offset(): number;
  decode_results_num_samples(): number;
}

/** Longer than any input. */
const allSeconds = 1e9;

/**
 * Decodes MP3 (layer 3). It finds the frames itself and hands whole ones over, so that minimp3 never searches: its search
 * tries many lengths at each byte. The decoder's own state goes on from one input to the next.
 */
export async function createMp3Decoder(): Promise<Decoder> {
  // Not the package's script: that fetches a URL and takes a whole file at once.
  const path = createRequire(import.meta.url).resolve("minimp3-wasm/dist/decoder.opt.wasm");
  const { instance } = await WebAssembly.instantiate(readFileSync(path), {});
  const wasm = instance.exports as Minimp3;
  wasm.decoder_init();
  let rest = Buffer.alloc(0);
  let skipping = 0;
  return {
    async *decode(piece) {
      let bytes = Buffer.concat([rest, piece]);
      const groups = new FrameGroups();
      for (;;) {
        const over = Math.min(skipping, bytes.length);
        skipping -= over;
        bytes = bytes.subarray(over);
        if (bytes.length < mpegStepBytes) break;
        const step = mpegStep(bytes);
        if (typeof step === "number") skipping = step;
        else if (bytes.length < step.bytes) break;
        else {
          if (step.layer === 3) groups.add(step, bytes.subarray(0, step.bytes));
          skipping = step.bytes;
        }
      }
      rest = Buffer.from(bytes);
      for (const group of groups.all) yield decodeGroup(wasm, group);
    },
    free() {},
  };
}

/** Frames that are alike and follow each other: minimp3 stops at one that differs from the first. */
interface FrameGroup {
  readonly like: MpegFrame;
  readonly frames: Buffer[];
}

class FrameGroups {
  readonly all: FrameGroup[] = [];

  add(frame: MpegFrame, bytes: Buffer): void {
    const last = this.all.at(-1);
    const { samplesPerSecond, samples, channels } = frame;
    if (
      last?.like.samplesPerSecond === samplesPerSecond &&
      last.like.samples === samples &&
      last.like.channels === channels
    )
      last.frames.push(bytes);
    else this.all.push({ like: frame, frames: [bytes] });
  }
}

function decodeGroup(wasm: Minimp3, { like, frames }: FrameGroup): Decoded {
  const input = Buffer.concat(frames);
  wasm.decoder_set_mp3_data_size(input.length);
  const from = wasm.decoder_mp3_data_offset();
  // A frame whose beginning stood in frames that are missing decodes to nothing: what lay in its place is no sound.
  const memory = new Uint8Array(wasm.memory.buffer);
  memory.fill(0, from);
  memory.set(input, from);
  wasm.decoder_decode(allSeconds);
  const count = wasm.decode_results_num_samples();
  const samples = new Int16Array(wasm.memory.buffer, wasm.decoder_pcm_data_offset(), count);
  const { channels: width, samplesPerSecond } = like;
  const channels = Array.from({ length: width }, (_, channel) =>
    Float32Array.from(
      { length: Math.floor(count / width) },
      (_, at) => (samples[at * width + channel] ?? 0) / 0x8000,
    ),
  );
  return { channels, samplesPerSecond };
}
