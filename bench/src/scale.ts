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
import { type ApiStage, openHalves, openStage } from "./stage.ts";
import { sleep } from "./time.ts";

/** Goal: performance, P5. */
const ratioMax = 1.15;
const apis = 2;
const workers = 2;
const defaults = { runs: 5, seconds: 10, endpoints: loadEndpoints };
const warmUpSeconds = 4;

/** What a delivery costs when the work is spread over processes. */
export const scale: Benchmark = {
  name: "scale",
  sentence: `Processor time per delivery at saturation with ${apis} sendoff api and ${workers} sendoff worker, as a ratio to one sendoff start.`,
  defaults,
  async run(run) {
    const pairs: Pair[] = [];
    let postgres = "";
    const runs = run.settings.runs ?? defaults.runs;
    for (let number = 1; number <= runs; number++) {
      const stage = await openStage(run);
      postgres = stage.postgresVersion;
      const url = stage.sendoff.start.apiUrl;
      // As many loads as there are APIs in the other half of the pair, so that both get the same.
      const urls = Array.from({ length: apis }, () => url);
      const one = await play(run, stage, urls, [stage.sendoff.pid], `pair ${number} of ${runs}, one`);
      await run.scope.end();
      const apart = await openHalves(run, apis, workers);
      const apiUrls = apart.halves.starts.map(({ apiUrl }) => apiUrl);
      const many = await play(run, apart, apiUrls, apart.halves.pids, `pair ${number} of ${runs}, apart`);
      await run.scope.end();
      pairs.push({ one, many });
    }
    return findingsOf(pairs, postgres);
  },
};

type Part = "server" | "postgres";

interface Outcome extends Window<Part> {
  /** Attempts that the log does not have, or has twice. */
  readonly logDifference: number;
}

/** One process, and the same work spread. */
interface Pair {
  readonly one: Outcome;
  readonly many: Outcome;
}

async function play(
  run: Run,
  stage: ApiStage,
  apiUrls: readonly string[],
  serverPids: readonly number[],
  step: string,
): Promise<Outcome> {
  const { sink, database } = stage;
  run.progress.step(`${step} ...`);
  const ports = await sink.listen(run.settings.endpoints ?? defaults.endpoints);
  await sink.behave(ports, "count");
  const projects = await createProjects(stage, ports, () => ({}), ["session.ended"]);
  const floods = await Promise.all(
    apiUrls.map((url, index) =>
      startFlood(run.scope, reportsTo(url, projects, `flood${index}`, loadConnections / apiUrls.length)),
    ),
  );
  await sleep(warmUpSeconds * 1_000);
  const parts = { server: serverPids, postgres: [stage.postgresPid] };
  const window = await measureWindow(sink, floods, parts, run.settings.seconds ?? defaults.seconds);
  await Promise.all(floods.map((flood) => flood.end()));
  await drained(database, projects);
  return { ...window, logDifference: (await countLogged(database, projects)) - (await sink.counted()) };
}

const cpuOf = ({ cpuUs }: Outcome): number => totalCpu(cpuUs);

function findingsOf(pairs: readonly Pair[], postgres: string): Findings {
  const ratios = pairs.map(({ one, many }) => cpuOf(many) / cpuOf(one));
  const ratio = round(median(ratios));
  const off = pairs
    .flatMap(({ one, many }) => [one, many])
    .reduce((sum, outcome) => sum + Math.abs(outcome.logDifference), 0);
  const goals: Goal[] = [
    {
      text: `processor time per delivery at most ${ratioMax} x that of one process`,
      measured: `${ratio} x`,
      reached: ratio <= ratioMax,
    },
    { text: "one row of webhook_logs per request", measured: `${off} rows off`, reached: off === 0 },
  ];
  const row = (name: string, outcome: Outcome, ratio: number | null): Array<string | number> => [
    name,
    outcome.acceptedPerSecond,
    outcome.deliveredPerSecond,
    outcome.cpuUs.server,
    outcome.cpuUs.postgres,
    cpuOf(outcome),
    ratio === null ? "" : ratio.toFixed(2),
  ];
  return {
    tables: [
      {
        title: `One sendoff start, and ${apis} sendoff api + ${workers} sendoff worker (a second; processor time in us per delivery; ratio of the pair)`,
        columns: ["", "accepted", "delivered", "server", "PostgreSQL", "cpu", "ratio"],
        rows: pairs.flatMap(({ one, many }, index) => [
          row(`pair ${index + 1}, one`, one, null),
          row(`pair ${index + 1}, ${apis} + ${workers}`, many, ratios[index] ?? Number.NaN),
        ]),
      },
    ],
    figures: { pairs, ratio },
    goals,
    postgres,
  };
}
