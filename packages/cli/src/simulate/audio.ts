import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { CommandFailure } from "../io.ts";
import { talk, voiceRate } from "./voices.ts";

/** Audio for the calls of a run. */
export interface CallAudio {
  /** The same for the same session, so that a repeat is one. */
  of(sessionId: string, seconds: number): Promise<Uint8Array>;
}

const extensions = new Set([".mp3", ".ogg", ".opus", ".wav", ".webm"]);

/**
 * Recordings of a folder: a session whose id has a file's name in it gets that file, any other one of them.
 *
 * @throws {CommandFailure} when there are none.
 */
export function recordingsOf(folder: string): CallAudio {
  let files: string[];
  try {
    files = readdirSync(folder).filter((name) => extensions.has(extname(name).toLowerCase()));
  } catch (error) {
    throw new CommandFailure(
      `${folder} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  if (files.length === 0) {
    throw new CommandFailure(`${folder} has no recordings: expected files of ${[...extensions].join(", ")}.`);
  }
  return {
    of(sessionId) {
      const own = files.find((name) => sessionId.includes(name.slice(0, -extname(name).length)));
      const any = createHash("sha256").update(sessionId).digest().readUInt32BE(0) % files.length;
      return readFile(join(folder, own ?? (files[any] as string)));
    },
  };
}

/** Lengths of the demo calls, in seconds: a call gets the first that is not shorter, or the last. */
const lengths = [5, 10, 20, 40];

/** Demo calls, in stereo as Ogg with Opus: made when the first one is needed, and kept. */
export function demoCalls(): CallAudio {
  const made = new Map<number, Promise<Uint8Array>>();
  return {
    of(_, seconds) {
      const length = lengths.find((one) => one >= seconds) ?? (lengths.at(-1) as number);
      const known = made.get(length);
      if (known !== undefined) return known;
      const call = encode(talk(length));
      made.set(length, call);
      return call;
    },
  };
}

/** The part of opus-recorder's encoder that is used: it was written for a worker of a browser, and runs here too. */
interface OpusModule {
  readonly Module: object;
  readonly OggOpusEncoder: new (
    settings: object,
    module: object,
  ) => {
    generateIdPage(): Page;
    generateCommentPage(): Page;
    encode(channels: readonly Float32Array[]): readonly Page[];
    encodeFinalFrame(): readonly Page[];
    destroy(): void;
  };
}

interface Page {
  readonly page: Uint8Array;
}

const bitsPerSecond = 32_000;
/** Fed at a time: ten frames of 20 ms. */
const pieceSamples = voiceRate / 5;

async function encode(channels: readonly Float32Array[]): Promise<Uint8Array> {
  const { Module, OggOpusEncoder } = loadEncoder();
  const encoder = new OggOpusEncoder(
    {
      numberOfChannels: channels.length,
      originalSampleRate: voiceRate,
      encoderSampleRate: voiceRate,
      encoderBitRate: bitsPerSecond,
    },
    Module,
  );
  const pages = [encoder.generateIdPage(), encoder.generateCommentPage()];
  const samples = channels[0]?.length ?? 0;
  for (let at = 0; at < samples; at += pieceSamples) {
    pages.push(...encoder.encode(channels.map((channel) => channel.subarray(at, at + pieceSamples))));
    // Requests of other sessions go on.
    if (at % (10 * pieceSamples) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  pages.push(...encoder.encodeFinalFrame());
  encoder.destroy();
  return Buffer.concat(pages.map(({ page }) => page));
}

function loadEncoder(): OpusModule {
  const events = ["uncaughtException", "unhandledRejection"] as const;
  const before = events.map((event) => new Set<unknown>(process.listeners(event as "uncaughtException")));
  const encoder = createRequire(import.meta.url)("opus-recorder/dist/encoderWorker.min.js") as OpusModule;
  // It takes the process for its own and would decide what becomes of our mistakes.
  for (const [index, event] of events.entries()) {
    for (const listener of process.listeners(event as "uncaughtException")) {
      if (before[index]?.has(listener) === false) process.removeListener(event, listener);
    }
  }
  return encoder;
}
