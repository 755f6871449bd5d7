import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Findings } from "./examination.ts";

/** One thing that the thread is asked. `end: false` forgets an examination. */
export interface ThreadQuestion {
  readonly id: number;
  readonly ask: { readonly begin: string } | { readonly piece: Uint8Array } | { readonly end: boolean };
}
export type ThreadAnswer = Findings | null;

/**
 * Examines recordings in one thread: no byte of a stranger's audio beyond its first ones is parsed where requests are
 * answered. Several may be under way; they take turns piece by piece, so a long one does not keep a short one waiting.
 */
export interface Examiner {
  /**
   * Reads audio to its end.
   *
   * @returns null: it did not end, because it was stopped or the thread ended for another recording; try again later.
   * @throws HarmfulAudio when the thread had to be ended for this recording; or what the audio throws.
   */
  examine(contentType: string, audio: AsyncIterable<Buffer>, stop: AbortSignal): Promise<Findings | null>;
  /** Ends the thread. It begins again with the next recording. */
  rest(): Promise<void>;
}

/** Audio for which the thread took too long or too much memory. It is not tried again. */
export class HarmfulAudio extends Error {}

export interface ExaminerLimits {
  /** How long one piece may take. Hostile ones that were tried take up to a second. */
  readonly pieceMs: number;
  readonly memoryMb: number;
}
/** How long the thread may take to begin. */
const beginMs = 60_000;
const standardLimits: ExaminerLimits = { pieceMs: 10_000, memoryMb: 64 };

/** Handed over at a time. Of Opus at 24 kbit/s that is 5 s. */
const pieceBytes = 16 * 1_024;
/** For each moment of work so much of rest: what delivers and answers has its time first. */
const restShare = 1;

// Built: a thread of Node.js 20 runs no TypeScript.
const threadFile = new URL("../../dist/recordings/examine-thread.js", import.meta.url);

export function createExaminer(limits: ExaminerLimits = standardLimits, file: URL = threadFile): Examiner {
  let thread: Thread | null = null;
  let ids = 0;
  let turns: Promise<unknown> = Promise.resolve();
  const turn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const mine = turns.then(async () => {
      const fromMs = performance.now();
      try {
        return await work();
      } finally {
        await sleep((performance.now() - fromMs) * restShare);
      }
    });
    turns = mine.catch(() => {});
    return mine;
  };

  return {
    async examine(contentType, audio, stop) {
      const id = ++ids;
      let begun: Thread | null = null;
      const ask = (question: ThreadQuestion["ask"]): Promise<ThreadAnswer> =>
        turn(async () => {
          if (begun === null) {
            if (thread?.ended !== false) thread = new Thread(file, limits);
            begun = thread;
            await begun.ask({ id, ask: { begin: contentType } });
          }
          return begun.ask({ id, ask: question });
        });
      try {
        for await (const chunk of audio) {
          for (let at = 0; at < chunk.length; at += pieceBytes) {
            if (stop.aborted) return null;
            // A copy: what goes to the thread takes its whole memory along.
            await ask({ piece: new Uint8Array(chunk.subarray(at, at + pieceBytes)) });
          }
        }
        const findings = await ask({ end: true });
        begun = null;
        return findings;
      } catch (error) {
        if (error instanceof ThreadEnded) begun = null;
        if (error instanceof ThreadEnded && error.id === id) throw new HarmfulAudio(error.message);
        if (error instanceof ThreadEnded) return null;
        throw error;
      } finally {
        if (begun !== null) await ask({ end: false }).catch(() => {});
      }
    },
    async rest() {
      await thread?.end();
      thread = null;
    },
  };
}

class ThreadEnded extends Error {
  /** The examination for which it ended; null: for none. */
  readonly id: number | null;
  constructor(id: number | null, reason: string) {
    super(reason);
    this.id = id;
  }
}

/** A thread that is asked one thing at a time. */
class Thread {
  readonly #worker: Worker;
  readonly #limits: ExaminerLimits;
  #reason: ThreadEnded | null = null;
  #asked: {
    blamed: number | null;
    resolve: (answer: ThreadAnswer) => void;
    reject: (error: Error) => void;
  } | null = null;

  constructor(file: URL, limits: ExaminerLimits) {
    this.#limits = limits;
    this.#worker = new Worker(file, {
      resourceLimits: {
        maxOldGenerationSizeMb: limits.memoryMb,
        maxYoungGenerationSizeMb: 8,
        stackSizeMb: 2,
      },
      // It needs no settings, and libopus prints an error for each packet that is wrong.
      env: {},
      stdout: true,
      stderr: true,
    });
    this.#worker.stdout.resume();
    this.#worker.stderr.resume();
    this.#worker.on("message", (answer: ThreadAnswer) => {
      this.#asked?.resolve(answer);
      this.#asked = null;
    });
    this.#worker.on("error", (error) => this.#over(error.message));
    this.#worker.on("exit", () => this.#over("the thread has ended"));
  }

  get ended(): boolean {
    return this.#reason !== null;
  }

  async ask(question: ThreadQuestion): Promise<ThreadAnswer> {
    if (this.#reason !== null) throw new ThreadEnded(null, this.#reason.message);
    const { ask, id } = question;
    // Until the first piece nothing of a stranger has been looked at: nobody is to blame.
    const [limitMs, blamed] = "begin" in ask ? [beginMs, null] : [this.#limits.pieceMs, id];
    const late = setTimeout(() => {
      this.#over(`a piece of it took more than ${limitMs / 1_000} s`);
      void this.#worker.terminate();
    }, limitMs);
    try {
      return await new Promise<ThreadAnswer>((resolve, reject) => {
        this.#asked = { blamed, resolve, reject };
        this.#worker.postMessage(question, "piece" in ask ? [ask.piece.buffer as ArrayBuffer] : []);
      });
    } finally {
      clearTimeout(late);
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #over(reason: string): void {
    this.#reason ??= new ThreadEnded(this.#asked?.blamed ?? null, reason);
    this.#asked?.reject(this.#reason);
    this.#asked = null;
  }
}
