import type { Client } from "./client.ts";
import type { CommandKind, Features, Try } from "./history.ts";
import type { Journal } from "./journal.ts";
import { nowNs, sleep } from "./monotonic.ts";
import { drawPlan, type PlanTimes, type Step } from "./plans.ts";
import type { Random } from "./random.ts";

export interface DrivenProject {
  readonly projectId: string;
  readonly key: string;
}

export interface DriverOptions {
  readonly projects: readonly DrivenProject[];
  readonly client: Client;
  readonly journal: Journal<Try>;
  readonly random: Random;
  readonly features: Features;
  readonly times: PlanTimes;
  /** About so many commands a second in all. */
  readonly rate: number;
  /** The APIs to choose from. */
  readonly apis: () => ReadonlyArray<{ readonly name: string; readonly url: string }>;
}

/** What came of sending a command once, without what the driver itself knows. */
interface Outcome {
  readonly api: string;
  readonly result: Try["result"];
  readonly status: number | null;
  readonly reason: string | null;
  readonly duplicate: boolean;
  readonly late: boolean;
  readonly events: readonly string[];
}

interface BulkItem {
  readonly item: Record<string, unknown>;
  resolve(outcome: Outcome): void;
}

/** Reports of several sessions gather for so long before they go in one POST /reports. */
const bulkWindowMs = 40;
/** Most commands without a result before no new sessions begin. */
const waitingMax = 400;
/** Mean number of commands of a plan, as the plans are weighted. */
const commandsPerSession = 2.6;

/** Reports sessions as many runtimes do, and logs every command with its result. */
export class Driver {
  readonly #options: DriverOptions;
  readonly #bulk = new Map<string, BulkItem[]>();
  readonly #running = new Set<Promise<void>>();
  #commands = 0;
  #sessions = 0;
  #givenUp = false;
  /** Commands without a result so far. */
  waiting = 0;

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  get sessions(): number {
    return this.#sessions;
  }

  get commands(): number {
    return this.#commands;
  }

  /** Starts sessions until it is told to stop. */
  async run(until: AbortSignal): Promise<void> {
    const { rate, random } = this.#options;
    const meanGapMs = (1_000 * commandsPerSession) / rate;
    while (!until.aborted) {
      // Exponential gaps: runtimes do not wait for each other.
      await sleep(-Math.log(1 - random.next()) * meanGapMs);
      // While nobody answers, runtimes pile up only so far.
      if (this.waiting > waitingMax) continue;
      const session = this.#playSession().finally(() => this.#running.delete(session));
      this.#running.add(session);
    }
  }

  /** Resolves when every command has its result; after giving up, those without one end as unknown. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  giveUp(): void {
    this.#givenUp = true;
  }

  async #playSession(): Promise<void> {
    const { random, projects, features, times } = this.#options;
    const project = random.pick(projects);
    const plan = drawPlan(random, project.projectId, features, times);
    const session = `${plan.name}-${++this.#sessions}`;
    const before: Array<Promise<void>> = [];
    const all = plan.steps.map(async (step) => {
      if (step.afterOthers) await Promise.all(before);
      await sleep(step.atMs);
      await this.#command(project, session, step);
    });
    before.push(...all.filter((_, index) => plan.steps[index]?.afterOthers === false));
    await Promise.all(all);
  }

  /** Sends a command until it is known to be taken or refused, as a runtime would. */
  async #command(project: DrivenProject, session: string, step: Step): Promise<void> {
    const { journal, random } = this.#options;
    const command = ++this.#commands;
    this.waiting += 1;
    for (let number = 1; ; number++) {
      const startNs = nowNs();
      const outcome = await (step.bulk
        ? this.#sendInBulk(project, session, step)
        : this.#send(project, session, step));
      journal.write({
        command,
        number,
        project: project.projectId,
        session,
        kind: step.kind,
        body: step.body,
        startNs,
        endNs: nowNs(),
        ...outcome,
      });
      if (outcome.result !== "unknown" || this.#givenUp) break;
      await sleep(random.int(50, 100) * Math.min(20, 2 ** number));
    }
    this.waiting -= 1;
  }

  async #send(project: DrivenProject, session: string, step: Step): Promise<Outcome> {
    const { client, random, apis } = this.#options;
    const api = random.pick(apis());
    const sessions = `${api.url}/v1/projects/${project.projectId}/sessions`;
    const [method, url, body] = requestOf(step.kind, sessions, session, step.body);
    const answer = await client.send(method, url, project.key, body);
    if (answer.kind === "none") return unknown(api.name, answer.reason);
    return outcomeOf(api.name, answer.status, answer.body);
  }

  #sendInBulk(project: DrivenProject, session: string, step: Step): Promise<Outcome> {
    return new Promise((resolve) => {
      const waiting = this.#bulk.get(project.projectId);
      const entry: BulkItem = { item: { type: step.kind, sessionId: session, ...step.body }, resolve };
      if (waiting !== undefined) {
        waiting.push(entry);
        return;
      }
      this.#bulk.set(project.projectId, [entry]);
      setTimeout(() => void this.#flushBulk(project), bulkWindowMs);
    });
  }

  async #flushBulk(project: DrivenProject): Promise<void> {
    const { client, random, apis } = this.#options;
    const entries = this.#bulk.get(project.projectId) ?? [];
    this.#bulk.delete(project.projectId);
    const api = random.pick(apis());
    const url = `${api.url}/v1/projects/${project.projectId}/reports`;
    const answer = await client.send(
      "POST",
      url,
      project.key,
      entries.map(({ item }) => item),
    );
    const items = answer.kind === "answer" && answer.status === 200 ? dataOf(answer.body) : null;
    entries.forEach(({ resolve }, index) => {
      if (answer.kind === "none") resolve(unknown(api.name, answer.reason));
      else if (!Array.isArray(items)) resolve(outcomeOf(api.name, answer.status, answer.body));
      else {
        const item = items[index] as { status?: number } | undefined;
        resolve(outcomeOf(api.name, item?.status ?? 0, item));
      }
    });
  }
}

function requestOf(
  kind: CommandKind,
  sessions: string,
  session: string,
  body: Readonly<Record<string, unknown>>,
): [method: string, url: string, body: unknown] {
  if (kind === "created") return ["POST", sessions, { sessionId: session, ...body }];
  if (kind === "progress") return ["PATCH", `${sessions}/${session}`, body];
  return ["POST", `${sessions}/${session}/${kind}`, body];
}

const unknown = (api: string, reason: string, status: number | null = null): Outcome => ({
  api,
  result: "unknown",
  status,
  reason,
  duplicate: false,
  late: false,
  events: [],
});

const dataOf = (body: unknown): unknown => (body as { data?: unknown } | null)?.data;

function outcomeOf(api: string, status: number, body: unknown): Outcome {
  if (status >= 200 && status < 300) {
    const data = dataOf(body) as { duplicate?: boolean; late?: boolean; events?: string[] } | undefined;
    return {
      api,
      result: "ok",
      status,
      reason: null,
      duplicate: data?.duplicate === true,
      late: data?.late === true,
      events: data?.events ?? [],
    };
  }
  const code = (body as { error?: { code?: string } } | null)?.error?.code ?? `status ${status}`;
  if (status >= 400 && status < 500) {
    return { api, result: "refused", status, reason: code, duplicate: false, late: false, events: [] };
  }
  return unknown(api, code, status);
}
