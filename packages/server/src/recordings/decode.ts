import type { Decoder } from "./decoder.ts";

/**
 * A decoder for audio of a kind; null: there is none (WebM, and what is inside of Ogg other than Opus fails).
 *
 * Opus and MP3 are decoded by WebAssembly in a thread of its own: strangers made the bytes, and a thread that computes
 * for seconds would keep the process from its heartbeat.
 */
export async function createDecoder(contentType: string): Promise<Decoder | null> {
  switch (contentType) {
    case "audio/ogg": {
      const { OggOpusDecoderWebWorker } = await import("ogg-opus-decoder");
      return wasmDecoder(new OggOpusDecoderWebWorker());
    }
    case "audio/mpeg": {
      const { MPEGDecoderWebWorker } = await import("mpg123-decoder");
      return wasmDecoder(new MPEGDecoderWebWorker());
    }
    case "audio/wav": {
      const { createWavDecoder } = await import("./wav.ts");
      return createWavDecoder();
    }
    default:
      return null;
  }
}

interface WasmDecoder {
  readonly ready: Promise<void>;
  decode(
    chunk: Uint8Array,
  ): Promise<{ channelData: Float32Array[]; samplesDecoded: number; sampleRate: number }>;
  free(): Promise<void>;
}

async function wasmDecoder(wasm: WasmDecoder): Promise<Decoder> {
  await wasm.ready;
  return {
    async decode(chunk) {
      const { channelData, samplesDecoded, sampleRate } = await wasm.decode(chunk);
      return samplesDecoded === 0 ? null : { channels: channelData, samplesPerSecond: sampleRate };
    },
    free: () => wasm.free(),
  };
}
