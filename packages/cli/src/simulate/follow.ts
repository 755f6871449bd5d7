import { setTimeout as sleep } from "node:timers/promises";
import type { InspectorReader } from "../inspector.ts";
import { unlessAway } from "./settle.ts";
import type { Wire } from "./wire.ts";

const pollMs = 1_000;
/** Longer than the reader waits for requests that become visible late. */
const quietMs = 1_200;

/** Reads the inspector while a run goes on, so that nothing is lost to its retention. */
export class WireFollower {
  readonly #reader: InspectorReader;
  readonly #wire: Wire;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(reader: InspectorReader, wire: Wire) {
    this.#reader = reader;
    this.#wire = wire;
    this.#done = this.#follow();
    // A failure is thrown by finish(), which every run ends with.
    this.#done.catch(() => {});
  }

  /** Reads the rest and ends. */
  async finish(): Promise<void> {
    await sleep(quietMs);
    await this.cancel();
    await this.#done;
    await this.#read();
  }

  /** Ends without reading the rest. */
  async cancel(): Promise<void> {
    this.#stop.abort();
    await this.#done.catch(() => {});
  }

  async #follow(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await unlessAway(() => this.#read());
      await sleep(pollMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #read(): Promise<void> {
    for (const request of await this.#reader.read()) this.#wire.add(request);
  }
}
