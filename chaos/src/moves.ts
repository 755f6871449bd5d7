import type pg from "pg";
import { type Cluster, rigName } from "./cluster.ts";
import type { Card } from "./deck.ts";
import type { Move, MoveName, Span } from "./history.ts";
import { msNs, nowNs, sleep } from "./monotonic.ts";
import type { Random } from "./random.ts";

/** What a move works with. */
export interface Stage {
  readonly cluster: Cluster;
  readonly random: Random;
  /** How long it lasts. */
  readonly ms: number;
  /** Waits for so long, but not beyond the end of the faults. */
  pause(ms: number): Promise<void>;
  isOver(): boolean;
  /** To be awaited when all is prepared, before the fault: the other faults make room. */
  ready(): Promise<void>;
}

type Made = Pick<Move, "how" | "unwritable"> & { readonly fromNs: number };

const perform: Readonly<Record<MoveName, (stage: Stage) => Promise<Made | null>>> = {
  outage: goAway,
  hang: hang,
  promotion: promote,
  "read-only": makeReadOnly,
  lock: lockTable,
  "full-disk": fillDisk,
  "no-connections": exhaustConnections,
};

/**
 * Makes one move, on a cluster that it has taken, and puts right what it has broken. The system counts as down from the
 * move's effect until PostgreSQL can be written again.
 *
 * @returns null when it could not be made.
 */
export async function makeMove({ name }: Card, stage: Stage): Promise<Move | null> {
  const { cluster } = stage;
  const made = await perform[name](stage);
  if (made === null) return null;
  const refusedNs = await cluster.comeBack();
  cluster.tell(true);
  const toNs = nowNs();
  const unwritable = made.unwritable.map((span) => ({ ...span, toNs: Math.min(span.toNs, refusedNs) }));
  return { name, fromNs: made.fromNs, toNs, how: made.how, unwritable };
}

/** Until it could be written again. */
const untilTheEnd = (fromNs: number): Span[] => [{ fromNs, toNs: Number.POSITIVE_INFINITY }];

/** PostgreSQL ends and is not there for a while. */
async function goAway({ cluster, random, ms, pause, ready }: Stage): Promise<Made | null> {
  await ready();
  const how = random.pick(["killed", "stopped"] as const);
  cluster.tell(false);
  const fromNs = nowNs();
  if (!cluster.goAway(how)) return null;
  await pause(ms);
  return { fromNs, how: `${how}, away for ${ms} ms`, unwritable: untilTheEnd(fromNs) };
}

/** PostgreSQL stands still: connections are there, and nothing answers. */
async function hang({ cluster, ms, pause, ready }: Stage): Promise<Made | null> {
  await ready();
  cluster.tell(false);
  const fromNs = nowNs();
  if (!cluster.freeze()) return null;
  await pause(ms);
  cluster.thaw();
  return { fromNs, how: `stopped for ${ms} ms`, unwritable: untilTheEnd(fromNs) };
}

/** The primary dies, and its synchronous standby takes its place. */
async function promote({ cluster, random, ms, pause, ready }: Stage): Promise<Made | null> {
  if (!(await cluster.makeStandby())) {
    await cluster.dropStandby();
    return null;
  }
  // Commits have waited for the standby for a moment.
  await pause(random.int(300, 1_500));
  await ready();
  const addressFirst = random.chance(0.5);
  cluster.tell(false);
  const fromNs = nowNs();
  await cluster.failOver(addressFirst, ms);
  const how = `promoted after ${ms} ms, address led there ${addressFirst ? "before" : "afterwards"}`;
  return { fromNs, how, unwritable: untilTheEnd(fromNs) };
}

/** As a demoted primary, or a server whose operator stops writes. */
async function makeReadOnly({ cluster, random, ms, pause, ready }: Stage): Promise<Made | null> {
  const admin = await cluster.connect();
  try {
    await ready();
    await admin.query("ALTER SYSTEM SET default_transaction_read_only = on");
    await admin.query("SELECT pg_reload_conf()");
    while (await cluster.canWrite()) await sleep(10);
    cluster.tell(false);
    const fromNs = nowNs();
    const ends = random.chance(0.5);
    if (ends) await endConnections(admin);
    await pause(ms);
    await admin.query("ALTER SYSTEM RESET default_transaction_read_only");
    await admin.query("SELECT pg_reload_conf()");
    return { fromNs, how: ends ? "connections ended" : "connections kept", unwritable: untilTheEnd(fromNs) };
  } finally {
    await admin.end().catch(() => {});
  }
}

/** Hot tables, each of them used by another part of the work. */
const lockable = ["deliveries", "sessions", "events", "webhook_logs"] as const;

/** As a migration does that takes long. */
async function lockTable({ cluster, random, ms, pause, ready }: Stage): Promise<Made | null> {
  const table = random.pick(lockable);
  const admin = await cluster.connect("sendoff");
  try {
    await ready();
    await admin.query("BEGIN");
    // What waits for a lock makes others wait already; a statement in progress may take a moment.
    await admin.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    cluster.tell(false);
    const fromNs = nowNs();
    await pause(ms);
    await admin.query("ROLLBACK");
    // Others can be written meanwhile: which process could not work, what it has done tells.
    return { fromNs, how: `${table} for ${ms} ms`, unwritable: [] };
  } finally {
    await admin.end().catch(() => {});
  }
}

const lookEveryMs = 100;

/** The disk of PostgreSQL has no room. */
async function fillDisk({ cluster, ms, pause, ready, isOver }: Stage): Promise<Made | null> {
  const { disk } = cluster;
  if (disk === null) return null;
  await ready();
  cluster.tell(false);
  const fromNs = nowNs();
  const unwritable: Span[] = [];
  let failingNs: number | null = null;
  while (nowNs() < fromNs + ms * msNs && !isOver()) {
    // PostgreSQL frees some of it: a checkpoint removes parts of the log of changes.
    await disk.fill();
    const askedNs = nowNs();
    if (await cluster.canWrite()) {
      if (failingNs !== null) unwritable.push({ fromNs: failingNs, toNs: askedNs });
      failingNs = null;
    } else failingNs ??= askedNs;
    await pause(lookEveryMs);
  }
  await disk.empty();
  return {
    fromNs,
    how: `for ${ms} ms`,
    unwritable: [...unwritable, ...(failingNs === null ? [] : [{ fromNs: failingNs, toNs: nowNs() }])],
  };
}

/** Other clients have taken all connections; those of Sendoff were ended, or are left to it. */
async function exhaustConnections({ cluster, random, ms, pause, ready }: Stage): Promise<Made | null> {
  const admin = await cluster.connect();
  const taken: pg.Client[] = [];
  try {
    await ready();
    const ends = random.chance(0.7);
    cluster.tell(false);
    const fromNs = nowNs();
    const endNs = fromNs + ms * msNs;
    await takeAll(cluster, taken);
    // They come again at once: several rounds until they find no place.
    while (ends && nowNs() < endNs && (await countConnections(admin)) > 0) {
      await endConnections(admin);
      await takeAll(cluster, taken);
    }
    await pause(Math.max(0, (endNs - nowNs()) / msNs));
    return { fromNs, how: ends ? "connections ended" : "connections kept", unwritable: [] };
  } finally {
    await Promise.all(taken.map((client) => client.end().catch(() => {})));
    await admin.end().catch(() => {});
  }
}

/** Connects until it is refused. */
async function takeAll(cluster: Cluster, taken: pg.Client[]): Promise<void> {
  for (;;) {
    const got = await Promise.allSettled(Array.from({ length: 10 }, () => cluster.connect()));
    for (const one of got) if (one.status === "fulfilled") taken.push(one.value);
    if (got.some(({ status }) => status === "rejected")) return;
  }
}

const others = `FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> '${rigName}'`;

async function endConnections(admin: pg.Client): Promise<void> {
  await admin.query(`SELECT pg_terminate_backend(pid) ${others}`);
}

async function countConnections(admin: pg.Client): Promise<number> {
  const { rows } = await admin.query<{ count: string }>(`SELECT count(*) ${others}`);
  return Number(rows[0]?.count);
}
