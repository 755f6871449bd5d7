import type { Decoder } from "./decoder.ts";

/**
 * A decoder for audio of a kind; null: there is none (WebM, and what is inside of Ogg other than Opus fails). Only
 * the thread of examine-thread.ts calls it: strangers made the bytes, and decoding them takes long.
 */
export async function createDecoder(contentType: string): Promise<Decoder | null> {
  switch (contentType) {
    case "audio/ogg":
      return (await import("./opus.ts")).createOpusDecoder();
    case "audio/mpeg":
      return (await import("./mp3.ts")).createMp3Decoder();
    case "audio/wav":
      return (await import("./wav.ts")).createWavDecoder();
    default:
      return null;
  }
}
