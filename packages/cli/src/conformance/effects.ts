import { exec } from "node:child_process";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { request } from "undici";
import { CommandFailure } from "../io.ts";
import { visible } from "../visible.ts";
import { pairsIn } from "./pairs.ts";

/** Where the receiver tells what it has processed. */
export type EffectsSource = { readonly kind: "url" | "file" | "command"; readonly at: string };

/** How often the receiver processed an event, by {@link effectKey}. Of this check's sessions alone. */
export type Effects = ReadonlyMap<string, number>;

export const effectKey = (sessionId: string, event: string): string => `${event} of ${sessionId}`;

const pollMs = 100;
/** The list must stand still for so long before it is believed: a second run of a handler comes late. */
const quietMs = 750;
const textMax = 64 * 1024 * 1024;

/** How long to wait for the effects, and for which. */
export interface EffectsWait {
  readonly source: EffectsSource;
  /** Begins the ids of this check's sessions. */
  readonly run: string;
  /** Keys that must be there. */
  readonly expected: ReadonlySet<string>;
  /** How long to wait for them, in ms. */
  readonly settleMs: number;
}

/** Reads the effects until all that are expected are there and none comes any more. @throws {CommandFailure} */
export async function readEffects(wait: EffectsWait): Promise<Effects> {
  const endsAt = performance.now() + wait.settleMs;
  let effects: Map<string, number> = new Map();
  let total = -1;
  let changedAt = performance.now();
  for (;;) {
    effects = countedIn(await textOf(wait.source), wait);
    const now = [...effects.values()].reduce((sum, count) => sum + count, 0);
    if (now !== total) changedAt = performance.now();
    total = now;
    const complete = [...wait.expected].every((key) => effects.has(key));
    const quiet = performance.now() - changedAt >= quietMs;
    if (quiet && (complete || performance.now() > endsAt)) return effects;
    await sleep(pollMs);
  }
}

async function textOf({ kind, at }: EffectsSource): Promise<string> {
  try {
    if (kind === "file") return await readFile(at, "utf8").catch(emptyWhenMissing);
    if (kind === "command")
      return (await promisify(exec)(at, { maxBuffer: textMax, timeout: 30_000 })).stdout;
    const response = await request(at, { headersTimeout: 10_000, bodyTimeout: 10_000 });
    const text = await response.body.text();
    if (response.statusCode === 200) return text;
    throw new Error(`it answered ${response.statusCode}`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(
      `The effects cannot be read from the ${kind} ${visible(at)}: ${visible(reason, 300)}.`,
    );
  }
}

/** A receiver that has processed nothing may not have begun its file. */
function emptyWhenMissing(error: NodeJS.ErrnoException): string {
  if (error.code === "ENOENT") return "";
  throw error;
}

function countedIn(text: string, { run, source }: EffectsWait): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [sessionId, event] of pairsIn(text, `The list of effects of the ${source.kind} ${source.at}`)) {
    if (!sessionId.startsWith(`${run}-`)) continue;
    const key = effectKey(sessionId, event);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}
