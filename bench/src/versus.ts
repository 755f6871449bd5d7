import type { Benchmark, Findings, Run } from "./benchmark.ts";
import { type Contender, contenders, type Part, type Playing } from "./contenders.ts";
import { median, round } from "./figures.ts";
import { startFlood } from "./flood.ts";
import type { Flooded } from "./flood-messages.ts";
import { findRedis } from "./redis.ts";
import { cpuOf, loadEndpoints, measureReference, perDelivery, reportsTo, totalCpu } from "./saturation.ts";
import { openGround } from "./stage.ts";
import { nowNs, until } from "./time.ts";

const defaults = { runs: 3, seconds: 10, endpoints: loadEndpoints };
const warmUpSeconds = 3;
/** How long a contender may take to deliver what it has accepted. */
const deliverLimitMs = 600_000;

/** The same job done by Sendoff, the naive way, and with what people would use. */
export const versus: Benchmark = {
  name: "versus",
  sentence:
    "The same deliveries by Sendoff, the naive way, BullMQ + Redis, pg-boss and graphile-worker: how many a second, and what each costs.",
  defaults,
  async run(run) {
    const redis = findRedis();
    const runs = run.settings.runs ?? defaults.runs;
    const outcomes = new Map<Contender, Outcome[]>(contenders.map((contender) => [contender, []]));
    const references: number[] = [];
    const settings = new Map<Contender, string>();
    let postgres = "";
    // In turn, so that whatever else happens on the machine falls on all alike.
    for (let number = 1; number <= runs; number++) {
      references.push(await reference(run, `run ${number} of ${runs}`));
      for (const contender of contenders) {
        const playing = await contender.start(run, run.settings.endpoints ?? defaults.endpoints);
        postgres = playing.ground.postgresVersion;
        settings.set(contender, playing.settings);
        run.progress.step(`run ${number} of ${runs}: ${contender.name} ...`);
        outcomes.get(contender)?.push(await play(run, playing));
        await run.scope.end();
      }
    }
    return findingsOf({ outcomes, references, settings, redis }, postgres);
  },
};

interface Outcome {
  /** Reports that were accepted, delivered and logged, by the time from the first report to the last delivery. */
  readonly perSecond: number;
  readonly acceptedPerSecond: number;
  readonly cpuUs: Readonly<Record<Part, number>>;
  /** Reports that were not accepted. */
  readonly refused: number;
  /** Accepted reports that are not in the log, or there twice. */
  readonly logDifference: number;
}

async function reference(run: Run, step: string): Promise<number> {
  run.progress.step(`${step}: bare POSTs ...`);
  const { sink } = await openGround(run);
  const [port = 0] = await sink.listen(1);
  await sink.behave([port], "count");
  const seconds = (run.settings.seconds ?? defaults.seconds) / 2;
  const perSecond = await measureReference(run.scope, sink, port, seconds);
  await run.scope.end();
  return perSecond;
}

/**
 * A load without a pause for a while, and then as long as the last deliveries take: who accepts faster than it delivers
 * must also deliver the rest, on processors that are then its own.
 */
async function play(run: Run, playing: Playing): Promise<Outcome> {
  const { sink } = playing.ground;
  const seconds = run.settings.seconds ?? defaults.seconds;
  const warmUp = await flooded(run, playing, "warm-up", Math.min(warmUpSeconds, seconds));
  const before = cpuOf(playing.parts);
  const measured = await flooded(run, playing, "flood", seconds);
  const deliveries = measured.accepted;
  const logged = await playing.logged();
  const cpuUs = perDelivery(before, cpuOf(playing.parts), deliveries);
  return {
    perSecond: Math.round((deliveries * 1e9) / measured.tookNs),
    acceptedPerSecond: Math.round(deliveries / seconds),
    cpuUs: { ...cpuUs, load: Math.round((measured.loadCpuMs * 1_000) / deliveries) },
    refused: measured.refused + measured.unanswered,
    logDifference:
      Math.abs(logged - (warmUp.accepted + measured.accepted)) + Math.abs((await sink.counted()) - logged),
  };
}

async function flooded(
  run: Run,
  playing: Playing,
  prefix: string,
  seconds: number,
): Promise<Flooded & { readonly tookNs: number; readonly loadCpuMs: number }> {
  const { sink } = playing.ground;
  const arrivedBefore = await sink.counted();
  const beganNs = nowNs();
  const flood = await startFlood(run.scope, reportsTo(playing.apiUrl, playing.projects, prefix));
  await until("the load has lasted", 2_000 * seconds, () => nowNs() - beganNs > seconds * 1e9);
  const loadCpuMs = cpuOf({ load: [flood.pid] }).load;
  const outcome = await flood.end();
  await until(
    "everything accepted is delivered",
    deliverLimitMs,
    async () => (await sink.counted()) - arrivedBefore >= outcome.accepted,
  );
  const tookNs = nowNs() - beganNs;
  // The last rows of the log are on their way when the last POST has just arrived.
  const arrived = await sink.counted();
  await until(
    "everything delivered is logged",
    deliverLimitMs,
    async () => (await playing.logged()) >= arrived,
  );
  return { ...outcome, tookNs, loadCpuMs };
}

interface All {
  readonly outcomes: ReadonlyMap<Contender, readonly Outcome[]>;
  /** Bare POSTs a second, of each run. */
  readonly references: readonly number[];
  readonly settings: ReadonlyMap<Contender, string>;
  readonly redis: string;
}

function findingsOf({ outcomes, references, settings, redis }: All, postgres: string): Findings {
  const reference = median(references);
  const rates = [...outcomes].map(([contender, runs]) => ({
    contender,
    runs,
    rate: median(runs.map(({ perSecond }) => perSecond)),
    of: (pick: (outcome: Outcome) => number) => median(runs.map(pick)),
  }));
  const own = rates[0]?.rate ?? Number.NaN;
  const total = (pick: (outcome: Outcome) => number): number =>
    rates.flatMap(({ runs }) => runs).reduce((sum, outcome) => sum + pick(outcome), 0);
  const off = total(({ logDifference }) => logDifference);
  return {
    tables: [
      {
        title: `Accepted, delivered and logged (medians; a second, from the first report to the last delivery; ratio to ${reference} bare POSTs a second; how many times as much Sendoff delivers; processor time in us per delivery: its processes, PostgreSQL and Redis, the load)`,
        columns: ["", "accepted", "delivered", "ratio", "Sendoff x", "server", "queue", "load", "cpu"],
        rows: rates.map(({ contender, rate, of }) => [
          contender.name,
          of(({ acceptedPerSecond }) => acceptedPerSecond),
          rate,
          (rate / reference).toFixed(3),
          (own / rate).toFixed(1),
          of(({ cpuUs }) => cpuUs.server),
          of(({ cpuUs }) => cpuUs.queue),
          of(({ cpuUs }) => cpuUs.load),
          of(({ cpuUs }) => totalCpu(cpuUs)),
        ]),
      },
      {
        title: `Settings (Redis ${redis}, PostgreSQL ${postgres} with fsync and synchronous commit)`,
        columns: ["", "how it runs"],
        rows: rates.map(({ contender }) => [contender.name, settings.get(contender) ?? ""]),
      },
    ],
    figures: {
      references,
      contenders: rates.map(({ contender: { name }, runs, rate }) => ({ name, perSecond: rate, runs })),
    },
    goals: [
      ...rates.flatMap(({ contender: { name, goal }, rate }) =>
        goal === null
          ? []
          : [
              {
                text: `at least ${goal} x ${name}`,
                measured: `${round(own / rate)} x`,
                reached: own / rate >= goal,
              },
            ],
      ),
      {
        text: "accepted reports = requests at the sink = rows of the log, for each",
        measured: `${off} off`,
        reached: off === 0,
      },
    ],
    postgres,
  };
}
