import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../log.ts";
import { Refusal } from "../refusal.ts";

/** What a stream reads: a page of what comes behind a position. */
interface Source<Filter, Position, Item> {
  read(
    projectId: string,
    filter: Filter,
    after: Position,
    limit: number,
  ): Promise<{
    readonly items: readonly Item[];
    /** From where to go on. */
    readonly next: Position;
    /** Nothing more is there at this moment. */
    readonly caughtUp: boolean;
  }>;
}

/** Bounds of live streams. */
export interface StreamLimits {
  /** Most streams of one project in this process. */
  readonly perProject: number;
  /** Most streams in this process. */
  readonly perProcess: number;
  /** How long a client may leave what was sent unread before its stream is cut, in milliseconds. */
  readonly unreadMaxMs: number;
  /** A comment goes out after so long without an event, in milliseconds: it shows both sides that the other is there. */
  readonly heartbeatMs: number;
  /** A stream ends after so long, in milliseconds; its client comes again, and its key is checked again. */
  readonly lifeMs: number;
}

export const streamLimits: StreamLimits = {
  perProject: 20,
  perProcess: 200,
  unreadMaxMs: 10_000,
  heartbeatMs: 15_000,
  lifeMs: 15 * 60_000,
};

/** What a stream writes to. Each promise resolves when the client has room for more. */
interface StreamSink<Item> {
  event(item: Item): Promise<unknown>;
  heartbeat(): Promise<unknown>;
  /** Cuts the connection: its client does not read. */
  cut(): void;
}

/** A stream that was let in. */
export interface AdmittedStream<Position, Item> {
  /** Writes events until the client has gone, the process ends, or the stream's time is over. Never throws. */
  run(after: Position, sink: StreamSink<Item>): Promise<void>;
  /** The client has gone, or nothing is to be written after all. */
  leave(): void;
}

/** The live streams of this process. */
export interface Streams<Filter, Position, Item> {
  /** @throws Refusal too_many_streams, or draining. */
  admit(projectId: string, filter: Filter): AdmittedStream<Position, Item>;
  /** Events may have been committed. A hint: every stream looks by itself as well. */
  wake(): void;
  /** Lets nobody in any more, ends all streams between two events, and waits for that. */
  drain(): Promise<void>;
}

export interface StreamsParts<Filter, Position, Item> {
  readonly feed: Source<Filter, Position, Item>;
  readonly log: Logger;
  /** Told how many are open, whenever that changes. */
  readonly onCount: (open: number) => void;
  readonly limits: StreamLimits;
}

/** Most events that a stream reads at once. Bytes are bounded, too (read.ts). */
const pageMax = 100;
/** How often a stream looks without any hint, in milliseconds. Polling is the truth. */
const pollMs = 500;
/** Shortest pause between two looks, in milliseconds: on a busy system a hint comes with every commit. */
const pauseMs = 25;
/** Pause after a read that failed, in milliseconds. */
const againMs = 1_000;
/** A stream whose client does not read at the end is left to the closing of connections, after so many milliseconds. */
const drainMaxMs = 1_000;

export function createStreams<Filter, Position, Item>(
  parts: StreamsParts<Filter, Position, Item>,
): Streams<Filter, Position, Item> {
  const running = new Set<Promise<void>>();
  const open = new Set<AbortController>();
  const counts = new Map<string, number>();
  const wakes: Wakes = { count: 0, sleepers: new Set() };
  let draining = false;

  const count = (projectId: string, by: 1 | -1): void => {
    const ofProject = (counts.get(projectId) ?? 0) + by;
    if (ofProject === 0) counts.delete(projectId);
    else counts.set(projectId, ofProject);
    parts.onCount(open.size);
  };

  return {
    admit(projectId, filter) {
      refuse(parts.limits, open.size, counts.get(projectId) ?? 0, draining);
      const over = new AbortController();
      open.add(over);
      count(projectId, 1);
      const leave = (): void => {
        over.abort();
        if (open.delete(over)) count(projectId, -1);
      };
      return {
        leave,
        run(after, sink) {
          const stream = { ...parts, projectId, filter, wakes, over: over.signal };
          const run = follow(stream, after, sink)
            .catch((error: Error) => {
              const level = error instanceof Refusal ? "info" : "error";
              parts.log[level]({ event: "feed.stream_failed", reason: error.message });
            })
            .finally(() => {
              leave();
              running.delete(run);
            });
          running.add(run);
          return run;
        },
      };
    },
    wake() {
      wakes.count += 1;
      for (const sleeper of wakes.sleepers) sleeper();
    },
    async drain() {
      draining = true;
      for (const over of open) over.abort();
      await Promise.race([Promise.all(running), sleep(drainMaxMs, undefined, { ref: false })]);
    },
  };
}

function refuse(limits: StreamLimits, total: number, ofProject: number, draining: boolean): void {
  if (draining) throw new Refusal("draining", "This process is shutting down; open the stream again.");
  const full =
    ofProject >= limits.perProject
      ? `This project has ${limits.perProject} streams open in this process already, the most that there may be`
      : total >= limits.perProcess
        ? `${limits.perProcess} streams are open in this process already, the most that there may be`
        : null;
  if (full === null) return;
  throw new Refusal("too_many_streams", `${full}; close one, or read by pages.`, {
    headers: { "retry-after": "5" },
  });
}

/** Hints so far, and whom the next one wakes. */
interface Wakes {
  count: number;
  readonly sleepers: Set<() => void>;
}

interface Following<Filter, Position, Item> extends StreamsParts<Filter, Position, Item> {
  readonly projectId: string;
  readonly filter: Filter;
  readonly wakes: Wakes;
  /** Nothing is to be written any more. */
  readonly over: AbortSignal;
}

async function follow<Filter, Position, Item>(
  stream: Following<Filter, Position, Item>,
  after: Position,
  sink: StreamSink<Item>,
): Promise<void> {
  const { feed, limits, over, wakes } = stream;
  const endMs = performance.now() + limits.lifeMs;
  let at = after;
  let writtenMs = performance.now();
  while (!over.aborted && performance.now() < endMs) {
    // Counted before the read: what is committed while it runs ends the rest at once.
    const wakesBefore = wakes.count;
    const page = await feed.read(stream.projectId, stream.filter, at, pageMax).catch((error: Error) => {
      // Another read cannot change it. The stream ends, and its client is told when it connects again.
      if (error instanceof Refusal && error.status < 500) throw error;
      stream.log.warn({ event: "feed.read_failed", reason: error.message });
      return null;
    });
    for (const item of page?.items ?? []) {
      if (over.aborted) return;
      await written(sink, limits, sink.event(item));
      writtenMs = performance.now();
    }
    at = page?.next ?? at;
    if (page !== null && !page.caughtUp) continue;
    if (performance.now() - writtenMs >= limits.heartbeatMs && !over.aborted) {
      await written(sink, limits, sink.heartbeat());
      writtenMs = performance.now();
    }
    await rest(page === null ? againMs : Math.min(pollMs, limits.heartbeatMs), wakes, wakesBefore, over);
  }
}

/** Waits until the client has room again. One that does not read is cut: what it has not taken is not kept for it. */
async function written(
  sink: StreamSink<never>,
  limits: StreamLimits,
  writing: Promise<unknown>,
): Promise<void> {
  const timer = setTimeout(() => sink.cut(), limits.unreadMaxMs);
  try {
    await writing;
  } finally {
    clearTimeout(timer);
  }
}

/** Until a hint came after `wakesBefore`, or for `longestMs`, or until it is over. */
function rest(longestMs: number, wakes: Wakes, wakesBefore: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      wakes.sleepers.delete(wake);
      over.removeEventListener("abort", end);
      resolve();
    };
    let timer = setTimeout(end, longestMs);
    const wake = (): void => {
      wakes.sleepers.delete(wake);
      clearTimeout(timer);
      timer = setTimeout(end, pauseMs);
    };
    wakes.sleepers.add(wake);
    over.addEventListener("abort", end);
    if (over.aborted) end();
    else if (wakes.count !== wakesBefore) wake();
  });
}
