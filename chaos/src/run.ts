import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createClient } from "./client.ts";
import { type Cluster, startCluster } from "./cluster.ts";
import { Driver } from "./driver.ts";
import type { Availability, ClockSample, Fault, History, Move, Readiness, Tick, Try } from "./history.ts";
import { followJournal, type Journal, openJournal } from "./journal.ts";
import { becomes, msNs, nowNs, tickMs } from "./monotonic.ts";
import { rage } from "./nemesis.ts";
import type { RunOptions } from "./options.ts";
import { Fleet, type FleetOptions, freePort, Member, type Role } from "./processes.ts";
import { createRandom } from "./random.ts";
import { pollReadiness } from "./readiness.ts";
import { leaseOf, settings, startMaxMs } from "./settings.ts";
import { type Prepared, prepare } from "./setup.ts";
import { type Sink, startSink } from "./sink-process.ts";
import { countOwed, countUnfinished, readTables } from "./tables.ts";
import { copyWorkspace, type Patch } from "./workspace.ts";

/** What a run is made with, besides its options. */
export interface RunPlace {
  /** An empty folder that accounts other than root's may pass; everything of the run is in it. */
  readonly folder: string;
  /** Where the logs go. */
  readonly logs: string;
  readonly patches: readonly Patch[];
  readonly tell: (sentence: string) => void;
  /** Ends the run early and cleans up. */
  readonly abort: AbortSignal;
}

/** What a run leaves, and how it went besides. */
export interface Finished {
  readonly history: History;
  /** Processes that ended though nobody had killed them. */
  readonly deaths: readonly string[];
  /** Whether every process ended by itself within its time at the end. */
  readonly drained: boolean;
  /** Whether PostgreSQL's disk could be filled here. */
  readonly canFillDisk: boolean;
  /** From the last fault until nothing was owed; null when something was owed to the end. */
  readonly quietAfterMs: number | null;
}

/** The run was stopped by Ctrl-C or SIGTERM. */
export class AbortedError extends Error {}

const root = resolve(fileURLToPath(new URL("../..", import.meta.url)));
/** How long after the last fault a command is still sent again. */
const answersMs = 40_000;
const clockEveryMs = 1_000;

export async function runOnce(options: RunOptions, place: RunPlace): Promise<Finished> {
  mkdirSync(place.logs, { recursive: true });
  const journals = openJournals(place.logs);
  const ends: Array<() => Promise<void> | void> = [];
  try {
    return await runWith(options, place, journals, ends);
  } finally {
    for (const end of ends.reverse()) await end();
    for (const journal of Object.values(journals)) journal.close();
  }
}

interface Journals {
  readonly driver: Journal<Try>;
  readonly faults: Journal<Fault>;
  readonly moves: Journal<Move>;
  readonly readiness: Journal<Readiness>;
  readonly ticks: Journal<Tick>;
  readonly availability: Journal<Availability>;
  readonly clock: Journal<ClockSample>;
}

const openJournals = (logs: string): Journals => ({
  driver: openJournal(join(logs, "driver.jsonl")),
  faults: openJournal(join(logs, "faults.jsonl")),
  moves: openJournal(join(logs, "moves.jsonl")),
  readiness: openJournal(join(logs, "readiness.jsonl")),
  ticks: openJournal(join(logs, "ticks.jsonl")),
  availability: openJournal(join(logs, "availability.jsonl")),
  clock: openJournal(join(logs, "clock.jsonl")),
});

async function runWith(
  options: RunOptions,
  place: RunPlace,
  journals: Journals,
  ends: Array<() => Promise<void> | void>,
): Promise<Finished> {
  const random = createRandom(options.seed);
  const command = copyWorkspace(root, place.folder, place.patches);
  const cluster = await startCluster(place.folder, journals.availability, random.fork("postgres"));
  ends.push(() => cluster.end());
  const sink = await startSink(options.seed, join(place.logs, "sink.jsonl"));
  ends.push(() => sink.end());
  const port = await freePort();
  const fleetOptions: Omit<FleetOptions, "env"> = {
    command,
    folder: place.logs,
    journal: journals.availability,
    random: random.fork("restarts"),
  };
  // What prepares the run is none of the processes that are judged.
  const journal = { write: () => {}, close: () => {} };
  const apart = { ...fleetOptions, journal };
  const prepared = await prepare(command, place.folder, cluster, sink.port, apart, port);
  place.tell(describe(prepared, options));
  if (cluster.disk === null) {
    place.tell("No file system can be mounted here, which takes root: the disk of PostgreSQL is not filled.");
  }
  const fleet = await makeFleet(options, prepared, fleetOptions);
  ends.push(() => fleet.destroy());
  fleet.start();
  if (!(await becomes(() => fleet.allUp() || place.abort.aborted, startMaxMs))) {
    throw new Error(`not every process began to work: ${fleet.members.map((member) => member.tail())}`);
  }
  const clockTimer = setInterval(() => {
    void cluster.sampleClock().then((sample) => {
      if (sample !== null) journals.clock.write(sample);
    });
  }, clockEveryMs);
  ends.push(() => clearInterval(clockTimer));
  const ticking = setInterval(() => journals.ticks.write({ ns: nowNs() }), tickMs);
  ends.push(() => clearInterval(ticking));
  ends.push(pollReadiness(fleet.members, journals.readiness));
  const { quietAfterMs } = await drive(options, place, journals, { cluster, sink, fleet, prepared });
  const drained = place.abort.aborted ? false : await fleet.end(30_000);
  clearInterval(clockTimer);
  if (place.abort.aborted) throw new AbortedError("stopped before its end");
  const tables = await readTables(cluster);
  const deaths = fleet.members.flatMap((member) => member.deaths);
  const history = collect(place.logs, prepared, tables, sink);
  return { history, deaths, drained, quietAfterMs, canFillDisk: cluster.disk !== null };
}

interface Parts {
  readonly cluster: Cluster;
  readonly sink: Sink;
  readonly fleet: Fleet;
  readonly prepared: Prepared;
}

/** Load and faults, then load without faults ends, and all that is owed settles. */
async function drive(
  options: RunOptions,
  place: RunPlace,
  journals: Journals,
  { cluster, sink, fleet, prepared }: Parts,
): Promise<{ quietAfterMs: number | null }> {
  const random = createRandom(`${options.seed}/drive`);
  const client = createClient(3_000);
  const driver = new Driver({
    projects: prepared.projects,
    client,
    journal: journals.driver,
    random,
    features: prepared.features,
    times: { lateMs: settings.callGraceMs + 3_000 },
    rate: options.rate,
    apis: () => fleet.apis(),
  });
  const faultsMs = options.seconds * 1_000;
  // Moves that are named are made, however long it takes.
  const named = options.moves !== null && options.moves.length > 0;
  const endNs = named ? Number.POSITIVE_INFINITY : nowNs() + faultsMs * msNs;
  const { over, onMoved } = endOfFaults(faultsMs, named, place.abort);
  const leaseMs = leaseOf(settings);
  const { killsPerSecond, stopsPerMinute, weights, postgresParts, moves } = options;
  await Promise.all([
    driver.run(over),
    rage(
      {
        ...{ cluster, fleet, sink, journal: journals.faults, moveJournal: journals.moves },
        ...{ random: random.fork("nemesis"), leaseMs, endNs, onMoved },
        ...{ killsPerSecond, stopsPerMinute, weights, postgresParts, moves },
      },
      over,
    ),
  ]);
  cluster.continue();
  await cluster.whenUp();
  const lastFaultNs = nowNs();
  place.tell(`${driver.commands} commands of ${driver.sessions} sessions; waiting for the last delivery ...`);
  const giveUp = setTimeout(() => driver.giveUp(), place.abort.aborted ? 0 : answersMs);
  place.abort.addEventListener("abort", () => driver.giveUp());
  await driver.settled();
  clearTimeout(giveUp);
  client.close();
  const quiet = await becomes(async () => {
    if (place.abort.aborted) return true;
    return (await owesNothing(cluster, prepared)) === true;
  }, options.quietSeconds * 1_000);
  return { quietAfterMs: quiet ? (nowNs() - lastFaultNs) / msNs : null };
}

/**
 * Fires after so long and when the moves are made that are waited for, or with the other. Not AbortSignal.any and .timeout:
 * nobody holds those, and they are collected.
 */
function endOfFaults(
  ms: number,
  awaitsMoves: boolean,
  abort: AbortSignal,
): { over: AbortSignal; onMoved: () => void } {
  const controller = new AbortController();
  let left = awaitsMoves ? 2 : 1;
  const oneOver = (): void => {
    left -= 1;
    if (left === 0) controller.abort();
  };
  const timer = setTimeout(oneOver, ms);
  abort.addEventListener("abort", () => {
    clearTimeout(timer);
    controller.abort();
  });
  return { over: controller.signal, onMoved: awaitsMoves ? oneOver : () => {} };
}

async function owesNothing(cluster: Cluster, { features }: Prepared): Promise<boolean> {
  try {
    const owed = await countOwed(cluster);
    return owed === 0 && (!features.deadlines || (await countUnfinished(cluster)) === 0);
  } catch {
    return false;
  }
}

async function makeFleet(
  options: RunOptions,
  prepared: Prepared,
  fleetOptions: Omit<FleetOptions, "env">,
): Promise<Fleet> {
  const split = options.mode === "split" || (options.mode === "auto" && prepared.features.roles);
  const full: FleetOptions = { ...fleetOptions, env: prepared.env };
  const make = async (role: Role, count: number): Promise<Member[]> => {
    const members: Member[] = [];
    for (let index = 1; index <= count; index++) {
      const port = await freePort();
      members.push(new Member(`${role}-${index}`, role, port, full));
    }
    return members;
  };
  return new Fleet(
    split
      ? [...(await make("api", options.api)), ...(await make("worker", options.workers))]
      : await make("all", options.api),
  );
}

function describe({ features, endpoints }: Prepared, options: RunOptions): string {
  const missing = Object.entries(features).filter(([, has]) => !has);
  const lacks = missing.length === 0 ? "" : `; the server has no ${missing.map(([name]) => name).join(", ")}`;
  return `Seed ${options.seed}: ${options.seconds} s of faults, ${endpoints.length} endpoints${lacks}.`;
}

/** Puts the logs together, as they stand in the files. */
function collect(logs: string, prepared: Prepared, tables: History["tables"], sink: Sink): History {
  const read = <Entry>(name: string): Entry[] => {
    const journal = followJournal<Entry>(join(logs, name));
    const entries = journal.read();
    journal.close();
    return entries;
  };
  const view = sink.view();
  return {
    settings,
    features: prepared.features,
    endpoints: prepared.endpoints,
    tries: read<Try>("driver.jsonl"),
    requests: view.requests(),
    trespasses: view.trespasses,
    faults: read<Fault>("faults.jsonl"),
    moves: read<Move>("moves.jsonl"),
    readiness: read<Readiness>("readiness.jsonl"),
    ticks: read<Tick>("ticks.jsonl"),
    availability: read<Availability>("availability.jsonl"),
    clock: read<ClockSample>("clock.jsonl"),
    tables,
    endNs: nowNs(),
  };
}
