import { LRUCache } from "lru-cache";
import { Refusal } from "../refusal.ts";

/** Looks up what strangers send, such as keys that this process has not seen. */
export interface LookUps<Found> {
  /**
   * What a name stands for, or null.
   *
   * @param from the address that it came from.
   * @throws Refusal rate_limited when too many from there wait already.
   */
  find(name: string, from: string): Promise<Found | null>;
}

/** Bounds of what waits to be looked up, and of what a statement looks up. */
const bounds = { perAddress: 500, inAll: 5_000, perStatement: 500 };
/** Pause between two statements, in milliseconds: however many wrong ones come, the database has 40 a second of them. */
const pauseMs = 25;
/** For how long a wrong one is known, in milliseconds, and of how many: one that is sent again and again is asked once. */
const wrong = { ttl: 10_000, max: 10_000 };

interface Waiting<Found> {
  readonly name: string;
  resolve(found: Found | null): void;
  reject(error: unknown): void;
}

/**
 * Looks up many in one statement, one statement at a time, addresses in turns. So a right one is found whatever else comes,
 * also from its own address, and those that are wrong take a fixed part of the database.
 *
 * @param ask answers those that there are.
 */
export function createLookUps<Found>(
  ask: (names: readonly string[]) => Promise<ReadonlyMap<string, Found>>,
): LookUps<Found> {
  const wrongNames = new LRUCache<string, true>(wrong);
  const underWay = new Map<string, Promise<Found | null>>();
  // A Map keeps the order: the address whose turn it was goes to the end.
  const waiting = new Map<string, Array<Waiting<Found>>>();
  let inAll = 0;
  let running = false;

  /** Takes one of each address, and again, until none is left or the statement is full. */
  const nextOnes = (): Array<Waiting<Found>> => {
    const taken: Array<Waiting<Found>> = [];
    for (const [from, ones] of waiting) {
      if (taken.length === bounds.perStatement) break;
      const one = ones.pop();
      if (one !== undefined) taken.push(one);
      waiting.delete(from);
      // Put behind the others, where this loop comes to it again.
      if (ones.length > 0) waiting.set(from, ones);
    }
    inAll -= taken.length;
    return taken;
  };
  const run = async (): Promise<void> => {
    const ones = nextOnes();
    if (ones.length === 0) {
      running = false;
      return;
    }
    try {
      const found = await ask(ones.map(({ name }) => name));
      for (const { name, resolve } of ones) {
        const value = found.get(name) ?? null;
        if (value === null) wrongNames.set(name, true);
        resolve(value);
      }
    } catch (error) {
      for (const { reject } of ones) reject(error);
    }
    setTimeout(() => void run(), pauseMs).unref();
  };
  const begin = (name: string, from: string): Promise<Found | null> => {
    const ones = waiting.get(from) ?? [];
    if (ones.length >= bounds.perAddress || inAll >= bounds.inAll) return Promise.reject(tooMany());
    return new Promise((resolve, reject) => {
      ones.push({ name, resolve, reject });
      waiting.set(from, ones);
      inAll++;
      if (running) return;
      running = true;
      // What comes at the same moment goes along.
      setImmediate(() => void run());
    });
  };
  return {
    async find(name, from) {
      if (wrongNames.has(name)) return null;
      const asked = underWay.get(name);
      if (asked !== undefined) return asked;
      const answer = begin(name, from).finally(() => underWay.delete(name));
      underWay.set(name, answer);
      return answer;
    },
  };
}

const tooMany = (): Refusal =>
  new Refusal(
    "rate_limited",
    `More than ${bounds.perAddress} keys that this process has not seen wait to be looked up, the most of one address. Try again in 1 s.`,
    { headers: { "retry-after": "1" } },
  );
