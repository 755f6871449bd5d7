import type { StartFile } from "@sendoff/contract";
import type pg from "pg";
import type { Benchmark, Findings, Goal, Run } from "./benchmark.ts";
import { createProjects } from "./endpoints.ts";
import { median, round } from "./figures.ts";
import { startFlood } from "./flood.ts";
import {
  countLogged,
  drained,
  loadConnections,
  loadEndpoints,
  measureWindow,
  reportsTo,
  totalCpu,
  type Window,
} from "./saturation.ts";
import type { Role } from "./sendoff.ts";
import { openSpread, type SpreadStage } from "./stage.ts";
import { sleep } from "./time.ts";

/** Goal: performance, P5. */
const ratioMax = 1.15;
/** The ways to spread the work: the first is the goal's. */
const ways: ReadonlyMap<string, readonly Role[]> = new Map<string, readonly Role[]>([
  ["2 api + 2 worker", ["api", "api", "worker", "worker"]],
  ["4 start", ["start", "start", "start", "start"]],
]);
const [goalWay = ""] = ways.keys();
const defaults = { runs: 5, seconds: 10, endpoints: loadEndpoints };
/** So long that each of four processes gets as many reports as one does in 5 s: after less, its code is not compiled yet. */
const warmUpSeconds = 20;
/** Processes that send the load: as many as could have an API. */
const loads = 4;

/** What a delivery costs when the work is spread over processes. */
export const scale: Benchmark = {
  name: "scale",
  sentence:
    "Processor time per delivery at saturation with 2 sendoff api and 2 sendoff worker, and with 4 sendoff start, as a ratio to one sendoff start.",
  defaults,
  async run(run) {
    const rounds: Round[] = [];
    let postgres = "";
    const runs = run.settings.runs ?? defaults.runs;
    for (let number = 1; number <= runs; number++) {
      const outcomes = new Map<string, Outcome>();
      for (const [name, roles] of [["one", ["start"]] as const, ...ways]) {
        const stage = await openSpread(run, roles);
        postgres = stage.postgresVersion;
        outcomes.set(name, await play(run, stage, `round ${number} of ${runs}, ${name}`));
        await run.scope.end();
      }
      rounds.push(outcomes);
    }
    return findingsOf(rounds, postgres);
  },
};

type Part = "server" | "postgres";

interface Outcome extends Window<Part> {
  /** Attempts that the log does not have, or has twice. */
  readonly logDifference: number;
  /** Transactions that PostgreSQL ended, per delivery: what gathers less takes more of them for the same. */
  readonly transactions: number;
}

/** One process, and the same work spread, by the names of {@link ways}. */
type Round = ReadonlyMap<string, Outcome>;

async function play(run: Run, stage: SpreadStage, step: string): Promise<Outcome> {
  const { sink, database, spread } = stage;
  run.progress.step(`${step} ...`);
  const ports = await sink.listen(run.settings.endpoints ?? defaults.endpoints);
  await sink.behave(ports, "count");
  const projects = await createProjects(stage, ports, () => ({}), ["session.ended"]);
  // As many loads for one process as for four, so that all get the same.
  const urls = Array.from({ length: loads }, (_, index) => {
    const start = spread.starts[index % spread.starts.length] as StartFile;
    return start.apiUrl;
  });
  const floods = await Promise.all(
    urls.map((url, index) =>
      startFlood(run.scope, reportsTo(url, projects, `flood${index}`, loadConnections / loads)),
    ),
  );
  await sleep(warmUpSeconds * 1_000);
  const parts = { server: spread.pids, postgres: [stage.postgresPid] };
  const transactions = await countTransactions(database);
  const arrived = await sink.counted();
  const window = await measureWindow(sink, floods, parts, run.settings.seconds ?? defaults.seconds);
  const perDelivery =
    ((await countTransactions(database)) - transactions) / ((await sink.counted()) - arrived);
  await Promise.all(floods.map((flood) => flood.end()));
  await drained(database, projects);
  return {
    ...window,
    logDifference: (await countLogged(database, projects)) - (await sink.counted()),
    transactions: round(perDelivery),
  };
}

/** Transactions that have ended so far, to within the second for which a connection keeps its counts to itself. */
async function countTransactions(database: pg.Pool): Promise<number> {
  const { rows } = await database.query<{ ended: string }>(
    "SELECT xact_commit AS ended FROM pg_stat_database WHERE datname = current_database()",
  );
  return Number(rows[0]?.ended);
}

const cpuOf = ({ cpuUs }: Outcome): number => totalCpu(cpuUs);

function findingsOf(rounds: readonly Round[], postgres: string): Findings {
  const ratioOf = (one: Round, name: string): number =>
    cpuOf(one.get(name) as Outcome) / cpuOf(one.get("one") as Outcome);
  const ratios = Object.fromEntries(
    [...ways.keys()].map((name) => [name, round(median(rounds.map((one) => ratioOf(one, name))))]),
  );
  const ratio = ratios[goalWay] ?? Number.NaN;
  const off = rounds
    .flatMap((one) => [...one.values()])
    .reduce((sum, outcome) => sum + Math.abs(outcome.logDifference), 0);
  const goals: Goal[] = [
    {
      text: `processor time per delivery at most ${ratioMax} x that of one process`,
      measured: `${ratio} x`,
      reached: ratio <= ratioMax,
    },
    { text: "one row of webhook_logs per request", measured: `${off} rows off`, reached: off === 0 },
  ];
  return {
    tables: [
      {
        title:
          "sendoff processes on one database (a second; processor time in us and transactions of PostgreSQL per delivery; ratio to one of the same round)",
        columns: ["", "accepted", "delivered", "server", "PostgreSQL", "cpu", "transactions", "ratio"],
        rows: rounds.flatMap((one, index) =>
          [...one].map(([name, outcome]) => [
            `round ${index + 1}, ${name}`,
            outcome.acceptedPerSecond,
            outcome.deliveredPerSecond,
            outcome.cpuUs.server,
            outcome.cpuUs.postgres,
            cpuOf(outcome),
            outcome.transactions,
            ratioOf(one, name).toFixed(2),
          ]),
        ),
      },
      {
        title: "Medians of the ratios",
        columns: ["", "ratio"],
        rows: Object.entries(ratios),
      },
    ],
    figures: { rounds: rounds.map((one) => Object.fromEntries(one)), ratios },
    goals,
    postgres,
  };
}
