import type { Metrics } from "../metrics.ts";
import { Refusal } from "../refusal.ts";
import { createMemory } from "./memory.ts";
import { createTurns } from "./turns.ts";

const mib = 1024 * 1024;
/** What bodies that came in and are not dealt with yet may take, in bytes. */
const bodyBounds = { perOwner: 16 * mib, inAll: 64 * mib };
/** What answers that are made and not read yet may take, in bytes. */
const answerBounds = { perOwner: 16 * mib, inAll: 128 * mib };
/** A body of so many bytes is parsed when it is its owner's turn; parsing a smaller one takes less than a millisecond. */
const turnBytesMin = 32 * 1024;

/** What one request takes of its owner's part, and of everybody's. */
export interface RequestShare {
  /** Takes memory for a piece of the body. @returns why there is none. */
  takeBody(bytes: number): Refusal | null;
  /** Parses a body of so many bytes: at once when it is small, else when it is its owner's turn. */
  parse<Result>(bytes: number, work: () => Result): Promise<Result> | Result;
  /** Does work of milliseconds when it is its owner's turn. */
  run<Result>(work: () => Result): Promise<Result>;
  /** Gives back what the body took: nothing is left of it. */
  releaseBody(): void;
  /**
   * Takes memory for an answer until it is read, or its reader has gone.
   *
   * @returns gives it back.
   * @throws Refusal rate_limited or overloaded.
   */
  takeAnswer(bytes: number): () => void;
}

/** Bounds on what the requests of one owner, and all together, hold at a time in this process. */
export interface RequestBounds {
  /** @param owner a project, the developers, or the address of a stranger. */
  share(owner: string): RequestShare;
}

export function createRequestBounds(metrics: Metrics): RequestBounds {
  const bodies = createMemory(bodyBounds);
  const answers = createMemory(answerBounds);
  const turns = createTurns();
  const refuse = (what: "body" | "answer", whose: "owner" | "all"): Refusal => {
    metrics.limited.inc({ limit: what });
    return what === "body" ? bodyRefusal(whose) : answerRefusal(whose);
  };
  return {
    share(owner) {
      let bodyBytes = 0;
      return {
        takeBody(bytes) {
          const whose = bodies.take(owner, bytes);
          if (whose !== null) return refuse("body", whose);
          bodyBytes += bytes;
          return null;
        },
        parse: (bytes, work) => (bytes < turnBytesMin ? work() : turns.run(owner, work)),
        run: (work) => turns.run(owner, work),
        releaseBody() {
          if (bodyBytes > 0) bodies.release(owner, bodyBytes);
          bodyBytes = 0;
        },
        takeAnswer(bytes) {
          const whose = answers.take(owner, bytes);
          if (whose !== null) throw refuse("answer", whose);
          return () => answers.release(owner, bytes);
        },
      };
    },
  };
}

const bodyRefusal = (whose: "owner" | "all"): Refusal => {
  // The rest of the body is still on its way: this connection cannot carry another request.
  const headers = { connection: "close", "retry-after": "1" };
  return whose === "owner"
    ? new Refusal(
        "rate_limited",
        `Requests under way hold ${bodyBounds.perOwner / mib} MiB of bodies of this project, or of this address, the most at a time. Send fewer at once; try again in 1 s.`,
        { headers },
      )
    : new Refusal(
        "overloaded",
        `Requests under way hold ${bodyBounds.inAll / mib} MiB of bodies, the most at a time in this process. Try again in 1 s.`,
        { headers },
      );
};

const answerRefusal = (whose: "owner" | "all"): Refusal =>
  whose === "owner"
    ? new Refusal(
        "rate_limited",
        `${answerBounds.perOwner / mib} MiB of answers to this project, or to this address, have not been read yet, the most at a time. Read them, or ask for less at once; try again in 1 s.`,
        { headers: { "retry-after": "1" } },
      )
    : new Refusal(
        "overloaded",
        `${answerBounds.inAll / mib} MiB of answers have not been read yet, the most at a time in this process. Ask for less at once; try again in 1 s.`,
      );
