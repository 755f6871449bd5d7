import { randomUUID } from "node:crypto";
import type pg from "pg";
import { type ClaimRoom, claimDue, createLowWater, findDue } from "./server-parts.ts";
import { msNs, nowNs, sleep } from "./time.ts";

type Kind = "first" | "again";

/** The room that an idle process with the standard limits has. */
const perEndpoint = 32;
const room = (endpoints: readonly string[]): ClaimRoom => ({ limit: 200, perEndpoint, endpoints, inFlight });
/** A process that is the only one knows how many it has in flight, and need not ask. */
const inFlight = () => ({ first: 0, again: 0 });
/** As many endpoints as a dispatcher claims from at once, of those that it found by looking. */
const foundMax = 50;
const pauseMs = 40;
/** How often a dispatcher looks before the marks as well, and how much of the time that may take. */
const beforeMarksNs = 1_000 * msNs;
const beforeMarksShare = 10;

/** How long each took, in milliseconds, seen from a connection of its own. */
export interface ClaimTimes {
  /** Claims from endpoints that a hint named. */
  readonly named: readonly number[];
  /** Looking for endpoints with something due, first attempts and retries together. */
  readonly look: readonly number[];
  /** Claims from what was found by looking, of either kind. */
  readonly found: readonly number[];
}

/**
 * Looks and claims as a second worker would, as long as the work lasts, and takes each back: nothing is attempted by it,
 * but what it holds for that moment is out of reach for the real worker.
 *
 * @param named endpoints that hints name.
 */
export async function timeClaims(
  database: pg.Pool,
  named: readonly string[],
  work: Promise<unknown>,
): Promise<ClaimTimes> {
  const times = { named: [] as number[], look: [] as number[], found: [] as number[] };
  const workerId = randomUUID();
  const client = await database.connect();
  // Planned as on a worker's own connections (database/pool.ts).
  await client.query("SET plan_cache_mode = force_generic_plan");
  const lowWater = { first: createLowWater(), again: createLowWater() };
  let working = true;
  let beforeMarksAtNs = 0;
  const ended = work.finally(() => {
    working = false;
  });
  // A client in a transaction has all of a pool that these use: query().
  const pool = client as unknown as pg.Pool;
  const timed = async <Value>(into: number[], act: () => Promise<Value>): Promise<Value> => {
    const beganNs = nowNs();
    const value = await act();
    into.push((nowNs() - beganNs) / msNs);
    return value;
  };
  const claim = async (into: number[], kind: Kind, endpoints: readonly string[]): Promise<void> => {
    await client.query("BEGIN");
    const since = lowWater[kind].of(endpoints);
    const { marks } = await timed(into, () => claimDue(pool, workerId, kind, { ...room(endpoints), since }));
    lowWater[kind].reached(since, marks);
    await client.query("ROLLBACK");
  };
  try {
    // As a process that has been at work: the first claim of all has no mark to begin at.
    await claim([], "first", named);
    while (working) {
      await claim(times.named, "first", named);
      const beforeMarks = nowNs() >= beforeMarksAtNs;
      const lookedNs = nowNs();
      const look = async (kind: Kind): Promise<string[]> => {
        const marks = new Map(lowWater[kind].inOrder());
        const { endpoints, beforeMark } = await findDue(pool, kind, {
          perEndpoint,
          marks,
          beforeMarks,
          inFlight,
        });
        for (const [endpoint, since] of beforeMark) lowWater[kind].lower(endpoint, since);
        return endpoints;
      };
      const found = await timed(times.look, async () => ({
        first: await look("first"),
        again: await look("again"),
      }));
      if (beforeMarks) {
        beforeMarksAtNs = lookedNs + Math.max(beforeMarksNs, (nowNs() - lookedNs) * beforeMarksShare);
      }
      for (const kind of ["first", "again"] as const) {
        if (found[kind].length > 0) await claim(times.found, kind, found[kind].slice(0, foundMax));
      }
      await sleep(pauseMs);
    }
    await ended;
  } finally {
    // With its setting it is no use to anybody else.
    client.release(true);
  }
  return times;
}

/** What PostgreSQL does for it: EXPLAIN (ANALYZE, BUFFERS), with the plan for these values and the one for any. */
export async function explainClaims(database: pg.Pool, named: readonly string[]): Promise<string> {
  const client = await database.connect();
  const parts: string[] = [];
  try {
    for (const [title, statement] of Object.entries(statements)) {
      const { text, values } = await textOf((pool) => statement(pool, named));
      for (const mode of ["force_custom_plan", "force_generic_plan"]) {
        await client.query("BEGIN");
        await client.query(`SET LOCAL plan_cache_mode = ${mode}`);
        const name = `explained_${title.replaceAll(" ", "_")}_${mode}`;
        await client.query(`PREPARE ${name} AS ${text}`);
        const literals = values.map((value) => client.escapeLiteral(literalOf(value))).join(", ");
        const { rows } = await client.query<{ "QUERY PLAN": string }>(
          `EXPLAIN (ANALYZE, BUFFERS) EXECUTE ${name}(${literals})`,
        );
        parts.push(`-- ${title}, ${mode}`, ...rows.map((row) => row["QUERY PLAN"]), "");
        await client.query("ROLLBACK");
        await client.query(`DEALLOCATE ${name}`);
      }
    }
  } finally {
    client.release();
  }
  return parts.join("\n");
}

const statements: Record<string, (pool: pg.Pool, named: readonly string[]) => Promise<unknown>> = {
  "claim first": (pool, named) => claimDue(pool, randomUUID(), "first", room(named)),
  "claim again": (pool, named) => claimDue(pool, randomUUID(), "again", room(named)),
  "find first": (pool) => findDue(pool, "first", { perEndpoint, inFlight }),
  "find again": (pool) => findDue(pool, "again", { perEndpoint, inFlight }),
};

const literalOf = (value: unknown): string => (Array.isArray(value) ? `{${value.join(",")}}` : String(value));

/** The text that is sent: a pool that only listens gets it. */
async function textOf(
  send: (pool: pg.Pool) => Promise<unknown>,
): Promise<{ text: string; values: unknown[] }> {
  let sent = { text: "", values: [] as unknown[] };
  const listener = {
    query: async (statement: typeof sent) => {
      sent = statement;
      return { rows: [] };
    },
  };
  await send(listener as unknown as pg.Pool);
  return sent;
}
