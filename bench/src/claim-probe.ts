import { randomUUID } from "node:crypto";
import type pg from "pg";
import { type ClaimRoom, claimDue } from "./server-parts.ts";
import { msNs, nowNs, sleep } from "./time.ts";

type Kind = "first" | "again";

/** The room that an idle process with the standard limits has. */
const room: ClaimRoom = { limit: 200, perEndpoint: 32, afterEndpoint: "" };
const pauseMs = 40;

/** How long claims take, in milliseconds, seen from a connection of their own. */
export interface ClaimTimes {
  readonly first: readonly number[];
  readonly again: readonly number[];
}

/**
 * Makes claims as a second worker would, as long as the work lasts, and takes each back: nothing is attempted by it, but
 * what it holds for that moment is out of reach for the real worker.
 */
export async function timeClaims(database: pg.Pool, work: Promise<unknown>): Promise<ClaimTimes> {
  const times: Record<Kind, number[]> = { first: [], again: [] };
  const workerId = randomUUID();
  const client = await database.connect();
  let working = true;
  const ended = work.finally(() => {
    working = false;
  });
  try {
    while (working) {
      for (const kind of ["first", "again"] as const) {
        await client.query("BEGIN");
        const beganNs = nowNs();
        // A client in a transaction has all of a pool that the claim uses: query().
        await claimDue(client as unknown as pg.Pool, workerId, kind, room);
        times[kind].push((nowNs() - beganNs) / msNs);
        await client.query("ROLLBACK");
      }
      await sleep(pauseMs);
    }
    await ended;
  } finally {
    client.release();
  }
  return times;
}

/** What PostgreSQL does for a claim: EXPLAIN (ANALYZE, BUFFERS), with the plan for these values and the one for any. */
export async function explainClaims(database: pg.Pool): Promise<string> {
  const client = await database.connect();
  const parts: string[] = [];
  try {
    for (const kind of ["first", "again"] as const) {
      const { text, values } = await statementOf(kind);
      for (const mode of ["force_custom_plan", "force_generic_plan"]) {
        await client.query("BEGIN");
        await client.query(`SET LOCAL plan_cache_mode = ${mode}`);
        const name = `explained_${kind}_${mode}`;
        await client.query(`PREPARE ${name} AS ${text}`);
        const literals = values.map((value) => client.escapeLiteral(literalOf(value))).join(", ");
        const { rows } = await client.query<{ "QUERY PLAN": string }>(
          `EXPLAIN (ANALYZE, BUFFERS) EXECUTE ${name}(${literals})`,
        );
        parts.push(`-- ${kind}, ${mode}`, ...rows.map((row) => row["QUERY PLAN"]), "");
        await client.query("ROLLBACK");
        await client.query(`DEALLOCATE ${name}`);
      }
    }
  } finally {
    client.release();
  }
  return parts.join("\n");
}

const literalOf = (value: unknown): string => (Array.isArray(value) ? "{}" : String(value));

/** The text that claimDue sends: a pool that only listens gets it. */
async function statementOf(kind: Kind): Promise<{ text: string; values: unknown[] }> {
  let sent = { text: "", values: [] as unknown[] };
  const listener = {
    query: async (statement: typeof sent) => {
      sent = statement;
      return { rows: [] };
    },
  };
  await claimDue(listener as unknown as pg.Pool, randomUUID(), kind, room);
  return sent;
}
