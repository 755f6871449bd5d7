import { measureArrivals, type Phase } from "./arrival-times.ts";
import type { Benchmark, Findings, Goal, Run } from "./benchmark.ts";
import { createProjects, endSessions, type Project } from "./endpoints.ts";
import { median, round, spreadOf } from "./figures.ts";
import { openStage, type Stage } from "./stage.ts";
import type { Table } from "./table.ts";
import { sleep, until } from "./time.ts";

/** So many times slower may the healthy ones' p99 be beside those that never answer. Behaviour, section 4. */
const ratioMax = 1.5;
/** What is queued for each endpoint that never answers before a phase is measured. */
const queuedDeliveries = 1_000;
/** SENDOFF_ENDPOINT_IN_FLIGHT_MAX as it stands when nobody sets it. */
const perEndpointMax = 32;
const defaults = { runs: 5, seconds: 15, rate: 150 };
const warmUpSeconds = 5;

/** So many endpoints, of which the first few never answer in the second phase of each pair. */
interface Scene {
  readonly name: string;
  readonly endpoints: number;
  readonly bad: number;
}

const scenes: readonly Scene[] = [
  { name: "1 of 20 never answers", endpoints: 20, bad: 1 },
  { name: "20 of 100 never answer", endpoints: 100, bad: 20 },
];

/** How long healthy endpoints wait for their events, with and without neighbours that never answer. */
export const neighbour: Benchmark = {
  name: "neighbour",
  sentence:
    "Whether endpoints that accept and never answer delay the healthy ones: p99 from report to sink, with and without them.",
  defaults,
  async run(run) {
    const stage = await openStage(run);
    const outcomes: SceneOutcome[] = [];
    for (const scene of scenes) outcomes.push(await playScene(run, stage, scene));
    return findingsOf(outcomes, stage.postgresVersion);
  },
};

interface Pair {
  readonly alone: Phase;
  readonly beside: Phase;
  /** Most attempts that were seen under way to one endpoint at a time. */
  readonly mostInFlight: number;
}

type Which = "alone" | "beside";

interface SceneOutcome {
  readonly scene: Scene;
  readonly pairs: readonly Pair[];
}

async function playScene(run: Run, stage: Stage, scene: Scene): Promise<SceneOutcome> {
  const runs = run.settings.runs ?? defaults.runs;
  const ports = await stage.sink.listen(scene.endpoints);
  const projects = await createProjects(stage, ports, () => ({ timeout: "10s" }));
  const bad = projects.slice(0, scene.bad);
  const healthy = new Set(projects.slice(scene.bad));
  const phase = (name: string, seconds: number): Promise<Phase> => {
    run.progress.step(`${scene.name}: ${name} ...`);
    const reportsPerSecond = run.settings.rate ?? defaults.rate;
    const prefix = `${scene.bad}-${name.replace(/[^a-z0-9]+/g, "-")}`;
    const options = { projects, reportsPerSecond, seconds, prefix, onPart: run.progress.part };
    return measureArrivals(stage, options, healthy);
  };
  const seconds = run.settings.seconds ?? defaults.seconds;
  await phase("warm-up", warmUpSeconds);
  const pairs: Pair[] = [];
  // In turn, so that whatever else happens on the machine and whatever grows falls on both alike.
  for (let index = 1; index <= runs; index++) {
    await emptied(stage);
    const alone = await phase(`pair ${index} of ${runs}, all answer`, seconds);
    await turnBad(stage, bad, `${scene.bad}-queue-${index}`);
    const besides = phase(`pair ${index} of ${runs}, ${scene.bad} never answer`, seconds);
    const mostInFlight = await watchInFlight(stage, besides);
    pairs.push({ alone, beside: await besides, mostInFlight });
    await turnGood(stage, bad);
  }
  return { scene, pairs };
}

/** From now on these never answer, and much is queued for them. */
async function turnBad(stage: Stage, bad: readonly Project[], prefix: string): Promise<void> {
  await stage.sink.behave(
    bad.map((project) => project.port),
    "hold",
  );
  // A text session owes two deliveries.
  for (const [index, project] of bad.entries()) {
    await endSessions(stage, project, queuedDeliveries / 2, `${prefix}-${index}`);
  }
}

/** They answer again, and what is left of their queue is dropped: delivering it would only take time. */
async function turnGood(stage: Stage, bad: readonly Project[]): Promise<void> {
  await stage.database.query(
    "DELETE FROM deliveries WHERE state = 'pending' AND endpoint_id = ANY ($1::uuid[])",
    [bad.map((project) => project.endpointId)],
  );
  await stage.sink.behave(
    bad.map((project) => project.port),
    "answer",
  );
}

const watchMs = 500;

/** Most attempts to one endpoint that PostgreSQL knew of while the work lasted. */
async function watchInFlight(stage: Stage, work: Promise<unknown>): Promise<number> {
  let most = 0;
  let working = true;
  const ended = work.finally(() => {
    working = false;
  });
  while (working) {
    const { rows } = await stage.database.query<{ attempts: string }>(
      "SELECT count(*) AS attempts FROM deliveries WHERE state = 'in_flight' GROUP BY endpoint_id ORDER BY 1 DESC LIMIT 1",
    );
    most = Math.max(most, Number(rows[0]?.attempts ?? 0));
    await sleep(watchMs);
  }
  await ended;
  return most;
}

const emptyLimitMs = 60_000;

const emptied = (stage: Stage): Promise<void> =>
  until("every delivery is settled", emptyLimitMs, async () => {
    const { rowCount } = await stage.database.query("SELECT FROM deliveries LIMIT 1");
    return rowCount === 0;
  });

function findingsOf(outcomes: readonly SceneOutcome[], postgres: string): Findings {
  return {
    tables: outcomes.map(tableOf),
    goals: outcomes.flatMap((outcome) => [goalOf(outcome), capGoalOf(outcome)]),
    figures: Object.fromEntries(outcomes.map((outcome) => [outcome.scene.name, figuresOf(outcome)])),
    postgres,
  };
}

const p99Of = (phase: Phase): number => spreadOf(phase.latenciesMs).p99;
const p50Of = (phase: Phase): number => spreadOf(phase.latenciesMs).p50;
const medianOf = (pairs: readonly Pair[], which: Which, of: (phase: Phase) => number): number =>
  median(pairs.map((pair) => of(pair[which])));

const ratioOf = ({ pairs }: SceneOutcome): number =>
  round(medianOf(pairs, "beside", p99Of) / medianOf(pairs, "alone", p99Of));

const mostInFlightOf = ({ pairs }: SceneOutcome): number =>
  Math.max(...pairs.map((pair) => pair.mostInFlight));

const unservedOf = ({ pairs }: SceneOutcome): number =>
  pairs
    .flatMap(({ alone, beside }) => [alone, beside])
    .reduce((sum, { missing, load }) => sum + missing + load.failed, 0);

function figuresOf(outcome: SceneOutcome): object {
  const phases = (which: Which): object => ({
    p50: medianOf(outcome.pairs, which, p50Of),
    p99: medianOf(outcome.pairs, which, p99Of),
    p99s: outcome.pairs.map((pair) => p99Of(pair[which])),
  });
  return {
    alone: phases("alone"),
    beside: phases("beside"),
    mostInFlight: mostInFlightOf(outcome),
    p99Ratio: ratioOf(outcome),
    lateOrRefused: unservedOf(outcome),
  };
}

function goalOf(outcome: SceneOutcome): Goal {
  const ratio = ratioOf(outcome);
  const unserved = unservedOf(outcome);
  return {
    text: `${outcome.scene.name}: p99 of the others at most ${ratioMax} x of p99 without, none late or refused`,
    measured: `${ratio} x, ${unserved} late or refused`,
    reached: ratio <= ratioMax && unserved === 0,
  };
}

function capGoalOf(outcome: SceneOutcome): Goal {
  const most = mostInFlightOf(outcome);
  return {
    text: `${outcome.scene.name}: at most ${perEndpointMax} attempts under way to one endpoint`,
    measured: String(most),
    reached: most <= perEndpointMax,
  };
}

function tableOf(outcome: SceneOutcome): Table {
  const { scene, pairs } = outcome;
  const rowOf = (name: string, { alone, beside }: Record<Which, readonly number[]>): string[] => [
    name,
    ...[...alone, ...beside].map((value) => value.toFixed(2)),
    ((beside[1] ?? Number.NaN) / (alone[1] ?? Number.NaN)).toFixed(2),
  ];
  const lateness = pairs.map(
    (pair) => spreadOf([...pair.alone.load.latenessMs, ...pair.beside.load.latenessMs]).p99,
  );
  return {
    title: `${scene.name}: ms from sending a report to the first byte at a healthy sink (the load itself was late by p99 ${median(lateness)} ms)`,
    columns: ["", "p50 without", "p99 without", "p50 beside", "p99 beside", "p99 ratio"],
    rows: [
      ...pairs.map(({ alone, beside }, index) =>
        rowOf(`pair ${index + 1}`, {
          alone: [p50Of(alone), p99Of(alone)],
          beside: [p50Of(beside), p99Of(beside)],
        }),
      ),
      rowOf("median", {
        alone: [medianOf(pairs, "alone", p50Of), medianOf(pairs, "alone", p99Of)],
        beside: [medianOf(pairs, "beside", p50Of), medianOf(pairs, "beside", p99Of)],
      }),
    ],
  };
}
