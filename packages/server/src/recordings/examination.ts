import { createHash } from "node:crypto";
import { createDecoder } from "./decode.ts";
import type { Decoded, Decoder } from "./decoder.ts";
import { createMeter } from "./meter.ts";
import { Waveform } from "./peaks.ts";

/** What was learnt of audio by reading all of it. */
export interface Findings {
  readonly sha256: string;
  readonly seconds: number | null;
  /** null: it cannot be decoded, or is too long. */
  readonly peaks: { readonly seconds: number; readonly channels: number[][] } | null;
}

/** Audio that is longer has no waveform: nobody sees anything in it. */
const secondsMax = 6 * 3_600;
/**
 * Seconds that audio of any size may have, and one more for so many bytes: 512 bits a second, well below what speech
 * takes. A packet of Opus of one byte can stand for 120 ms, so without this a small file could take hours to decode.
 */
const freeSeconds = 60;
const bytesPerSecondMin = 64;

/** Hash, length and waveform of one recording, from its bytes as they come. In the thread of examine-thread.ts. */
export class Examination {
  readonly #hash = createHash("sha256");
  readonly #meter;
  readonly #waveform = new Waveform();
  /** null: nothing more is drawn. */
  #decoder: Decoder | null;
  #failed: boolean;
  #bytes = 0;
  #drawnSeconds = 0;

  private constructor(contentType: string, decoder: Decoder | null) {
    this.#meter = createMeter(contentType);
    this.#decoder = decoder;
    this.#failed = decoder === null;
  }

  static async begin(contentType: string): Promise<Examination> {
    return new Examination(contentType, await createDecoder(contentType));
  }

  async add(piece: Buffer): Promise<void> {
    this.#hash.update(piece);
    this.#meter.add(piece);
    this.#bytes += piece.length;
    if (this.#decoder === null) return;
    try {
      for await (const decoded of this.#decoder.decode(piece)) {
        this.#draw(decoded);
        if (this.#failed) break;
      }
    } catch {
      // No failure of ours: strangers made the bytes.
      this.#giveUp();
    }
  }

  end(): Findings {
    const seconds = this.#meter.seconds();
    const sha256 = this.#hash.digest("hex");
    if (this.#failed || this.#waveform.samples === 0) return { sha256, seconds, peaks: null };
    const drawn = Math.round(this.#drawnSeconds * 1_000) / 1_000;
    return {
      sha256,
      seconds: seconds ?? drawn,
      peaks: { seconds: seconds ?? drawn, channels: this.#waveform.channels() },
    };
  }

  free(): void {
    this.#decoder?.free();
    this.#decoder = null;
  }

  #draw({ channels, samplesPerSecond }: Decoded): void {
    this.#waveform.add(channels);
    this.#drawnSeconds += (channels[0]?.length ?? 0) / samplesPerSecond;
    const most = Math.min(secondsMax, freeSeconds + this.#bytes / bytesPerSecondMin);
    if (this.#drawnSeconds > most) this.#giveUp();
  }

  #giveUp(): void {
    this.#failed = true;
    this.free();
  }
}
