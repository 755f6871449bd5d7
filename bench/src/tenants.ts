import { measureArrivals, type Phase } from "./arrival-times.ts";
import { type Answered, startAttack } from "./attack.ts";
import { type AttackName, attacks } from "./attacks.ts";
import type { Benchmark, Findings, Goal, Run } from "./benchmark.ts";
import { createProjects, type Project, sendReports } from "./endpoints.ts";
import { median, round, spreadOf } from "./figures.ts";
import { memoryOf } from "./proc.ts";
import { openStage, type Stage } from "./stage.ts";
import { nowNs, sleep } from "./time.ts";

/** Guarantees, I16. */
const deliveryRatioMax = 1.5;
const readRatioMax = 3;
/** Memory of the working process: performance, P6, and what may wait in it. */
const memoryMaxMiB = 600;
const defaults = { runs: 3, seconds: 10, rate: 100 };
const warmUpSeconds = 5;
const readEveryMs = 100;
/** What the attacker has stored before: sessions of so many bytes, for lists and searches. */
const stored = { sessions: 500, variableBytes: 200_000 };

interface Measured extends Phase {
  /** How long a list of a project's sessions takes, in milliseconds. */
  readonly readsMs: readonly number[];
  readonly readsRefused: number;
}

interface Pair {
  readonly calm: Measured;
  readonly attacked: Measured;
  readonly answered: Answered;
}

interface Outcome {
  readonly attack: AttackName;
  readonly pairs: readonly Pair[];
  /** Most memory that the working process has had so far. */
  readonly mostMiB: number;
  /** Whether the process that worked before the attack still works. */
  readonly survived: boolean;
}

/** Whether what one key, project or stranger does is felt by the others. */
export const tenants: Benchmark = {
  name: "tenants",
  sentence:
    "What others feel while one key, one project or a stranger attacks: reports, deliveries and reads with and without the attack.",
  defaults,
  async run(run) {
    const stage = await openStage(run, { SENDOFF_ALLOW_HTTP: "loopback" });
    const ports = await stage.sink.listen(5);
    const [attacker, ...others] = await createProjects(stage, ports);
    if (attacker === undefined) throw new Error("The attacker needs a project.");
    await storeMuch(stage, attacker);
    run.progress.step("warm-up ...");
    await measure(run, stage, others, "warm-up", warmUpSeconds);
    const outcomes: Outcome[] = [];
    for (const attack of Object.keys(attacks) as AttackName[]) {
      outcomes.push(await playAttack(run, stage, attacker, others, attack));
    }
    return findingsOf(outcomes, stage.postgresVersion);
  },
};

async function storeMuch(stage: Stage, attacker: Project): Promise<void> {
  const text = "v".repeat(stored.variableBytes);
  for (let begin = 0; begin < stored.sessions; begin += 4) {
    await sendReports(
      stage,
      attacker,
      Array.from({ length: 4 }, (_, index) => ({
        type: "conversation-ended",
        sessionId: `stored-${begin + index}`,
        channel: "text",
        currentNodeId: "closing",
        messagesCount: 1,
        extractedVariables: { text },
      })),
    );
  }
}

async function playAttack(
  run: Run,
  stage: Stage,
  attacker: Project,
  others: readonly Project[],
  name: AttackName,
): Promise<Outcome> {
  const runs = run.settings.runs ?? defaults.runs;
  const seconds = run.settings.seconds ?? defaults.seconds;
  const { apiUrl, inspectorUrl } = stage.sendoff.start;
  if (inspectorUrl === null) throw new Error("The first start makes an inspector.");
  const pid = stage.sendoff.workerPid();
  const pairs: Pair[] = [];
  for (let index = 1; index <= runs; index++) {
    const prefix = `${name.replaceAll(" ", "-")}-${index}`;
    run.progress.step(`${name}, pair ${index} of ${runs}: calm ...`);
    const calm = await measure(run, stage, others, `${prefix}-calm`, seconds);
    run.progress.step(`${name}, pair ${index} of ${runs}: under attack ...`);
    const attack = await startAttack(run.scope, {
      name,
      origin: apiUrl,
      projectId: attacker.id,
      projectKey: attacker.key,
      inspectorUrl,
    });
    const attacked = await measure(run, stage, others, `${prefix}-attacked`, seconds);
    pairs.push({ calm, attacked, answered: await attack.end() });
    await sleep(1_000);
  }
  return {
    attack: name,
    pairs,
    mostMiB: memoryOf(stage.sendoff.workerPid())?.mostMiB ?? Number.NaN,
    survived: stage.sendoff.workerPid() === pid,
  };
}

/** Reports, their events and reads of the others. */
async function measure(
  run: Run,
  stage: Stage,
  others: readonly Project[],
  prefix: string,
  seconds: number,
): Promise<Measured> {
  let measuring = true;
  const reading = readAllTheTime(stage, others, () => measuring);
  const phase = await measureArrivals(
    stage,
    {
      projects: others,
      reportsPerSecond: run.settings.rate ?? defaults.rate,
      seconds,
      prefix,
      onPart: run.progress.part,
    },
    new Set(others),
  );
  measuring = false;
  return { ...phase, ...(await reading) };
}

async function readAllTheTime(
  stage: Stage,
  others: readonly Project[],
  goOn: () => boolean,
): Promise<Pick<Measured, "readsMs" | "readsRefused">> {
  const readsMs: number[] = [];
  let readsRefused = 0;
  for (let index = 0; goOn(); index += 1) {
    const project = others[index % others.length] as Project;
    const beganNs = nowNs();
    const answer = await stage.api
      .request({
        method: "GET",
        path: `/v1/projects/${project.id}/sessions?limit=20`,
        headers: { authorization: `Bearer ${project.key}` },
      })
      .catch(() => null);
    await answer?.body.dump();
    if (answer?.statusCode !== 200) readsRefused += 1;
    readsMs.push((nowNs() - beganNs) / 1e6);
    await sleep(readEveryMs);
  }
  return { readsMs, readsRefused };
}

const reportMsOf = (phase: Measured): number[] =>
  phase.load.emitted.map(({ sentNs, answeredNs }) => (answeredNs - sentNs) / 1e6);

/** What is compared, and how much more of it may be. */
const compared = [
  { name: "reports", of: reportMsOf, ratioMax: deliveryRatioMax },
  { name: "deliveries", of: (phase: Measured) => phase.latenciesMs, ratioMax: deliveryRatioMax },
  { name: "reads", of: (phase: Measured) => phase.readsMs, ratioMax: readRatioMax },
] as const;

type Compared = (typeof compared)[number];

const p99 = (phase: Measured, { of }: Compared): number => spreadOf(of(phase)).p99;
const medianP99 = ({ pairs }: Outcome, which: "calm" | "attacked", what: Compared): number =>
  median(pairs.map((pair) => p99(pair[which], what)));
const ratioOf = (outcome: Outcome, what: Compared): number =>
  round(medianP99(outcome, "attacked", what) / medianP99(outcome, "calm", what));
const lostOf = ({ pairs }: Outcome): number =>
  pairs.reduce(
    (sum, { attacked }) => sum + attacked.missing + attacked.load.failed + attacked.readsRefused,
    0,
  );

function findingsOf(outcomes: readonly Outcome[], postgres: string): Findings {
  return {
    tables: [
      {
        title:
          "p99 of the others in ms, calm and under attack (medians of the pairs), and how the attack was answered",
        columns: [
          "attack",
          "reports",
          "",
          "ratio",
          "deliveries",
          "",
          "ratio",
          "reads",
          "",
          "ratio",
          "lost",
          "answers",
        ],
        rows: outcomes.map((outcome) => [
          attacks[outcome.attack].sentence,
          ...compared.flatMap((what) => [
            medianP99(outcome, "calm", what).toFixed(1),
            medianP99(outcome, "attacked", what).toFixed(1),
            ratioOf(outcome, what).toFixed(2),
          ]),
          String(lostOf(outcome)),
          answersOf(outcome),
        ]),
      },
    ],
    goals: outcomes.flatMap(goalsOf),
    figures: Object.fromEntries(
      outcomes.map((outcome) => [
        outcome.attack,
        {
          ...Object.fromEntries(compared.map((what) => [what.name, ratioOf(outcome, what)])),
          lost: lostOf(outcome),
          mostMiB: outcome.mostMiB,
        },
      ]),
    ),
    postgres,
  };
}

function answersOf({ pairs }: Outcome): string {
  const sums = new Map<string, number>();
  for (const { answered } of pairs) {
    for (const [status, count] of Object.entries(answered)) sums.set(status, (sums.get(status) ?? 0) + count);
  }
  return [...sums].map(([status, count]) => `${status === "0" ? "ended" : status}: ${count}`).join(", ");
}

function goalsOf(outcome: Outcome): Goal[] {
  const ratios: Goal[] = compared.map((what) => ({
    text: `${outcome.attack}: p99 of the others' ${what.name} at most ${what.ratioMax} x of calm`,
    measured: `${ratioOf(outcome, what)} x`,
    reached: ratioOf(outcome, what) <= what.ratioMax,
  }));
  return [
    ...ratios,
    {
      text: `${outcome.attack}: nothing of the others is lost or refused, the process lives, at most ${memoryMaxMiB} MiB`,
      measured: `${lostOf(outcome)}, ${outcome.survived ? "lives" : "was restarted"}, ${outcome.mostMiB} MiB`,
      reached: lostOf(outcome) === 0 && outcome.survived && outcome.mostMiB <= memoryMaxMiB,
    },
  ];
}
