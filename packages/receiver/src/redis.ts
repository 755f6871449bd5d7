import { createHash } from "node:crypto";
import * as scripts from "./redis-scripts.ts";
import { type Accepted, type Claim, ClaimLost, GiveUp, type Store } from "./store.ts";

/** A client of ioredis, or what does the same. */
export interface IoRedisClient {
  call(command: string, args: string[]): Promise<unknown>;
}

/** A client of node-redis (`redis` on npm), or what does the same. Not its cluster or its pool. */
export interface NodeRedisClient {
  sendCommand(args: string[]): Promise<unknown>;
}

/** What a handler's transaction is given: commands to be run in one step with the mark that the event is done. */
export interface RedisTransaction {
  /**
   * Adds a command, such as `queue("INCRBY", "minutes", 3)`. It runs when the function has returned; nothing can be read.
   * In a cluster its keys need the store's hash tag.
   */
  queue(command: string, ...args: ReadonlyArray<string | number>): void;
}

export interface RedisStoreOptions {
  /** Tells receivers apart that share a Redis and may know the same session. "default" by default. */
  readonly name?: string;
  /** How long events are kept, in ms: a delivery after that counts as new. 30 days by default. */
  readonly keepMs?: number;
}

const keepDefaultMs = 30 * 86_400_000;

/**
 * Keeps events in Redis 6.2 or later, below keys that begin with `sendoff:{<name>}`. What a handler's `context.transaction`
 * queues happens exactly once, as far as Redis keeps what it has told: with `appendfsync everysec` a crash of the machine
 * can lose the last second, also of events that were answered 2xx. Use `appendfsync always` where that counts, and
 * `maxmemory-policy noeviction`.
 */
export function redisStore(
  client: IoRedisClient | NodeRedisClient,
  { name = "default", keepMs = keepDefaultMs }: RedisStoreOptions = {},
): Store<RedisTransaction> {
  const prefix = `sendoff:{${name}}`;
  // node-redis has a method call too, and ioredis a sendCommand of another kind: only its status tells ioredis apart.
  const send = (args: string[]): Promise<unknown> =>
    "status" in client || !("sendCommand" in client)
      ? (client as IoRedisClient).call(args[0] ?? "", args.slice(1))
      : client.sendCommand(args);
  const run = async (script: string, args: readonly (string | number)[]): Promise<unknown> => {
    const rest = ["1", prefix, ...args.map(String)];
    try {
      return await send(["EVALSHA", sha1Of(script), ...rest]);
    } catch (error) {
      if (!String(error).includes("NOSCRIPT")) throw error;
      return send(["EVAL", script, ...rest]);
    }
  };
  const listOf = async (script: string, args: readonly (string | number)[]): Promise<string[]> =>
    ((await run(script, args)) as unknown[]).map(String);

  return {
    durable: true,
    async setUp() {},
    async accept(events) {
      const args = events.flatMap(({ session, event, body, digest, webhookId, work }) => [
        ...[session, event, body, digest, webhookId],
        ...(["event", "look"] as const).map((kind) => (work.includes(kind) ? "1" : "0")),
      ]);
      return (await listOf(scripts.accept, [keepMs, ...args])) as Accepted[];
    },
    async claim(limit, leaseMs) {
      return inGroups(await listOf(scripts.claim, [limit, Math.round(leaseMs)]), 9).map(
        ([id = "", kind, session = "", event = "", body = "", webhookId = "", age, attempt, fence]) => ({
          ...{ id, kind: kind as Claim["kind"], session, event, body, webhookId },
          ...{ ageMs: Number(age), attempt: Number(attempt), fence: Number(fence) },
        }),
      );
    },
    extend: (claims, leaseMs) => listOf(scripts.extend, [Math.round(leaseMs), ...heldOf(claims)]),
    done: (claims) => listOf(scripts.done, heldOf(claims)),
    async again(claim, delayMs, error) {
      await run(scripts.again, [...heldOf([claim]), delayMs, error === null ? "0" : "1", error ?? ""]);
    },
    async bury(claim, error) {
      await run(scripts.bury, [...heldOf([claim]), error]);
    },
    async transact(claim, act) {
      const commands: string[][] = [];
      const result = await act({
        queue: (command, ...args) => void commands.push([command, ...args.map(String)]),
      });
      const args = commands.flatMap((command) => [String(command.length), ...command]);
      const told = String(await run(scripts.transact, [...heldOf([claim]), ...args]));
      if (told === "0") throw new ClaimLost(claim);
      if (told !== "1") throw new GiveUp(told);
      return result;
    },
    async session(session) {
      return inGroups(await listOf(scripts.session, [session]), 3).map(([event = "", body = "", age]) => {
        return { event, body, ageMs: Number(age) };
      });
    },
    async join(claim, { session, event, body }) {
      await run(scripts.join, [...heldOf([claim]), session, event, body]);
    },
    async dead(limit) {
      return inGroups(await listOf(scripts.dead, [limit]), 6).map(
        ([id = "", session = "", event = "", body = "", attempts, error = ""]) => {
          return { id, session, event, body, attempts: Number(attempts), error };
        },
      );
    },
    revive: async (id) => String(await run(scripts.revive, [keepMs, id])) === "1",
    // Redis forgets by itself: each session expires keepMs after its last event.
    forget: async () => 0,
  };
}

const heldOf = (claims: readonly Claim[]): string[] => claims.flatMap(({ id, fence }) => [id, String(fence)]);

function inGroups(texts: readonly string[], size: number): string[][] {
  return Array.from({ length: texts.length / size }, (_, index) =>
    texts.slice(index * size, (index + 1) * size),
  );
}

const digests = new Map<string, string>();

function sha1Of(script: string): string {
  const known = digests.get(script) ?? createHash("sha1").update(script).digest("hex");
  digests.set(script, known);
  return known;
}
