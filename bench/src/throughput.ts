import type { Benchmark, Findings, Goal, Run } from "./benchmark.ts";
import { createProjects } from "./endpoints.ts";
import { median, round } from "./figures.ts";
import { startFlood } from "./flood.ts";
import { memoryOf } from "./proc.ts";
import {
  countLogged,
  drained,
  loadEndpoints,
  measureReference,
  measureWindow,
  reportsTo,
  totalCpu,
  type Window,
} from "./saturation.ts";
import { playRuns, type Stage } from "./stage.ts";
import { sleep } from "./time.ts";

/** Goals: performance, P1. */
const ratioMin = 0.15;
const cpuUsMax = 170;
const defaults = { runs: 5, seconds: 10, endpoints: loadEndpoints };
const warmUpSeconds = 4;

/** How many deliveries a second Sendoff makes at saturation, beside what one process can send that does nothing else. */
export const throughput: Benchmark = {
  name: "throughput",
  sentence:
    "Deliveries a second at saturation, with every feature on, as a ratio to bare POSTs to the same sink; processor time of each.",
  defaults,
  async run(run) {
    const { runs, postgres } = await playRuns(run, defaults.runs, (stage, number) =>
      playRun(run, stage, number),
    );
    return findingsOf(runs, postgres);
  },
};

type Part = "server" | "postgres" | "sink" | "load";

interface OneRun extends Window<Part> {
  readonly referencePerSecond: number;
  readonly memoryMiB: number;
  /** Attempts that the log does not have, or has twice. */
  readonly logDifference: number;
}

async function playRun(run: Run, stage: Stage, number: number): Promise<OneRun> {
  const { sendoff, sink, database } = stage;
  const seconds = run.settings.seconds ?? defaults.seconds;
  const total = run.settings.runs ?? defaults.runs;
  const ports = await sink.listen(run.settings.endpoints ?? defaults.endpoints);
  await sink.behave(ports, "count");
  const projects = await createProjects(stage, ports, () => ({}), ["session.ended"]);
  run.progress.step(`run ${number} of ${total}: bare POSTs ...`);
  const referencePerSecond = await measureReference(run.scope, sink, ports[0] ?? 0, seconds / 2);
  run.progress.step(`run ${number} of ${total}: reports ...`);
  const arrivedBefore = await sink.counted();
  const flood = await startFlood(run.scope, reportsTo(sendoff.start.apiUrl, projects, "flood"));
  await sleep(warmUpSeconds * 1_000);
  const parts = {
    server: [sendoff.workerPid()],
    postgres: [stage.postgresPid],
    sink: [sink.pid],
    load: [flood.pid],
  };
  const window = await measureWindow(sink, [flood], parts, seconds);
  const memoryMiB = memoryOf(sendoff.workerPid())?.mostMiB ?? Number.NaN;
  await flood.end();
  await drained(database, projects);
  const arrived = (await sink.counted()) - arrivedBefore;
  const logDifference = (await countLogged(database, projects)) - arrived;
  return { ...window, referencePerSecond, memoryMiB, logDifference };
}

const cpuOf = ({ cpuUs }: OneRun): number => totalCpu(cpuUs);
const ratioOf = ({ deliveredPerSecond, referencePerSecond }: OneRun): number =>
  deliveredPerSecond / referencePerSecond;

function findingsOf(runs: readonly OneRun[], postgres: string): Findings {
  const medianOf = (pick: (one: OneRun) => number): number => median(runs.map(pick));
  const rowOf = (name: string, of: (pick: (one: OneRun) => number) => number): Array<string | number> => [
    name,
    of((one) => one.referencePerSecond),
    of((one) => one.acceptedPerSecond),
    of((one) => one.deliveredPerSecond),
    of(ratioOf).toFixed(3),
    of(cpuOf),
    of((one) => one.cpuUs.server),
    of((one) => one.cpuUs.postgres),
    of((one) => one.cpuUs.sink),
    of((one) => one.cpuUs.load),
    of((one) => one.memoryMiB),
  ];
  return {
    tables: [
      {
        title:
          "At saturation (a second; ratio of delivered to bare POSTs; processor time in us per delivery; memory: most MiB of the server)",
        columns: [
          "",
          "bare POSTs",
          "accepted",
          "delivered",
          "ratio",
          "cpu",
          "server",
          "PostgreSQL",
          "sink",
          "load",
          "memory",
        ],
        rows: [
          ...runs.map((one, index) => rowOf(`run ${index + 1}`, (pick) => pick(one))),
          rowOf("median", medianOf),
        ],
      },
    ],
    figures: { runs, ratio: round(medianOf(ratioOf)), cpuUs: medianOf(cpuOf) },
    goals: goalsOf(runs, medianOf),
    postgres,
  };
}

function goalsOf(runs: readonly OneRun[], medianOf: (pick: (one: OneRun) => number) => number): Goal[] {
  const ratio = medianOf(ratioOf);
  const cpu = medianOf(cpuOf);
  const difference = runs.reduce((sum, one) => sum + Math.abs(one.logDifference), 0);
  return [
    {
      text: `delivered at least ${ratioMin} of bare POSTs`,
      measured: ratio.toFixed(3),
      reached: ratio >= ratioMin,
    },
    {
      text: `at most ${cpuUsMax} us of processor time per delivery`,
      measured: `${cpu} us`,
      reached: cpu <= cpuUsMax,
    },
    {
      text: "one row of webhook_logs per request",
      measured: `${difference} rows off`,
      reached: difference === 0,
    },
  ];
}
