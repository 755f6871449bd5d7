import { measureArrivals, type Phase } from "./arrival-times.ts";
import { measureBareCommits } from "./bare-commits.ts";
import type { Benchmark, Findings, Goal } from "./benchmark.ts";
import { createProjects } from "./endpoints.ts";
import { median, round, spreadOf } from "./figures.ts";
import { openStage } from "./stage.ts";

/** Goals: performance, P3. */
const p50Max = 3;
const p99Max = 12;
const finalizedP99Max = 10;
const defaults = { runs: 5, seconds: 15, rate: 200, endpoints: 20 };
const warmUpSeconds = 5;
const referenceSeconds = 5;

interface OneRun extends Phase {
  readonly bareCommitsMs: readonly number[];
}

/** How long an event takes from its report to the receiver, on a system that is not busy. */
export const latency: Benchmark = {
  name: "latency",
  sentence: "Milliseconds from a report to the first byte of its event at the sink, at 200 reports a second.",
  defaults,
  async run(run) {
    const stage = await openStage(run);
    const { settings, progress } = run;
    const ports = await stage.sink.listen(settings.endpoints ?? defaults.endpoints);
    const projects = await createProjects(stage, ports);
    const measured = new Set(projects);
    const phase = (prefix: string, seconds: number): Promise<Phase> => {
      progress.step(`${prefix} ...`);
      const reportsPerSecond = settings.rate ?? defaults.rate;
      return measureArrivals(
        stage,
        { projects, reportsPerSecond, seconds, prefix, onPart: progress.part },
        measured,
      );
    };
    await phase("warm-up", warmUpSeconds);
    const runs: OneRun[] = [];
    for (let number = 1; number <= (settings.runs ?? defaults.runs); number++) {
      progress.step(`run-${number}: bare commits ...`);
      const bareCommitsMs = await measureBareCommits(stage.database, referenceSeconds);
      runs.push({
        ...(await phase(`run-${number}`, settings.seconds ?? defaults.seconds)),
        bareCommitsMs,
      });
    }
    return findingsOf(runs, stage.postgresVersion);
  },
};

/** What is told of a run, in the order of the table. */
const columns: ReadonlyArray<readonly [title: string, of: (phase: OneRun) => number]> = [
  ["p50", (phase) => spreadOf(phase.latenciesMs).p50],
  ["p99", (phase) => spreadOf(phase.latenciesMs).p99],
  ["max", (phase) => spreadOf(phase.latenciesMs).max],
  ["p50 after the answer", (phase) => spreadOf(phase.afterAnswerMs).p50],
  ["p99 after the answer", (phase) => spreadOf(phase.afterAnswerMs).p99],
  ["finalized p50", (phase) => spreadOf(phase.finalizedMs).p50],
  ["finalized p99", (phase) => spreadOf(phase.finalizedMs).p99],
  ["late or refused", (phase) => phase.missing + phase.load.failed],
  ["bare commit p50", (phase) => spreadOf(phase.bareCommitsMs).p50],
  ["bare commit p99", (phase) => spreadOf(phase.bareCommitsMs).p99],
  ["load off by (p99)", (phase) => spreadOf(phase.load.latenessMs).p99],
];

function findingsOf(runs: readonly OneRun[], postgres: string): Findings {
  const medians = columns.map(([, of]) => round(median(runs.map(of))));
  const [p50 = Number.NaN, p99 = Number.NaN] = medians;
  const finalized = medians[6] ?? Number.NaN;
  const unserved = runs.reduce((sum, phase) => sum + phase.missing + phase.load.failed, 0);
  const goals: Goal[] = [
    { text: `p50 at most ${p50Max} ms`, measured: `${p50} ms`, reached: p50 <= p50Max },
    { text: `p99 at most ${p99Max} ms`, measured: `${p99} ms`, reached: p99 <= p99Max },
    {
      text: `session.finalized arrives at most ${finalizedP99Max} ms (p99) after the last earlier event of its lane`,
      measured: `${finalized} ms`,
      reached: finalized <= finalizedP99Max,
    },
    { text: "none late or refused", measured: `${unserved}`, reached: unserved === 0 },
  ];
  return {
    tables: [
      {
        title:
          "ms from sending a report (and from its answer) to the first byte at the sink; finalized: after the arrival of the event before it; bare commit: the smallest that PostgreSQL flushes, before the run",
        columns: ["", ...columns.map(([title]) => title)],
        rows: [
          ...runs.map((phase, index) => [`run ${index + 1}`, ...columns.map(([, of]) => of(phase))]),
          ["median", ...medians],
        ],
      },
    ],
    figures: {
      p50,
      p99,
      finalizedP99: finalized,
      afterAnswerP50: medians[3],
      afterAnswerP99: medians[4],
      bareCommitP50: medians[8],
      bareCommitP99: medians[9],
      p99s: runs.map((phase) => spreadOf(phase.latenciesMs).p99),
    },
    goals,
    postgres,
  };
}
