import { type AgentEvent, agentEvents, type InspectedRequest } from "@sendoff/contract";
import { bodyProblems, fieldsOf, headerProblems } from "./body.ts";
import type { Fault } from "./faults.ts";
import type { SessionPlan } from "./plan.ts";

/** One request as it arrived. */
export interface Arrival {
  /** Place among all arrivals: the inspector numbers them. */
  readonly id: bigint;
  readonly event: AgentEvent;
  readonly webhookId: string;
  readonly attempt: number;
  /** By the server's clock, in ms since 1970. */
  readonly receivedAtMs: number;
}

/**
 * What arrived at the inspector for the sessions of a run. Bodies are checked as they come and not kept: a long run
 * has many.
 */
export class Wire {
  readonly faults: Fault[] = [];
  readonly #plans: (sessionId: string) => SessionPlan | undefined;
  readonly #projectId: string;
  readonly #arrivals = new Map<string, Arrival[]>();
  #count = 0;

  constructor(plans: (sessionId: string) => SessionPlan | undefined, projectId: string) {
    this.#plans = plans;
    this.#projectId = projectId;
  }

  /** Requests of this run's sessions so far. */
  get count(): number {
    return this.#count;
  }

  /** Takes one request. Requests of other sessions, resends and tests are somebody else's and are passed over. */
  add(request: InspectedRequest): void {
    const trigger = request.headers["sendoff-trigger"] ?? "live";
    if (trigger !== "live" && trigger !== "retry") return;
    const fields = fieldsOf(request.body);
    const sessionId = typeof fields?.sessionId === "string" ? fields.sessionId : null;
    const plan = sessionId === null ? undefined : this.#plans(sessionId);
    if (plan === undefined) return;
    this.#count += 1;
    const event = agentEvents.find((name) => name === fields?.event);
    if (event === undefined) {
      this.#fault(plan, null, `an event called ${JSON.stringify(fields?.event ?? null)}`);
      return;
    }
    const problems = [
      ...headerProblems(request.headers),
      ...bodyProblems(request.body, event, plan, this.#projectId),
    ];
    for (const problem of problems) this.#fault(plan, event, problem);
    this.#arrivalsOf(plan.sessionId).push({
      id: BigInt(request.id),
      event,
      webhookId: request.headers["webhook-id"] ?? "",
      attempt: Number(request.headers["sendoff-attempt"] ?? 1),
      receivedAtMs: Date.parse(request.receivedAt),
    });
  }

  /** What arrived for a session, in the order of arrival. */
  of(sessionId: string): Arrival[] {
    const arrivals = this.#arrivals.get(sessionId) ?? [];
    return arrivals.sort((left, right) => (left.id < right.id ? -1 : 1));
  }

  #arrivalsOf(sessionId: string): Arrival[] {
    const known = this.#arrivals.get(sessionId);
    if (known !== undefined) return known;
    const arrivals: Arrival[] = [];
    this.#arrivals.set(sessionId, arrivals);
    return arrivals;
  }

  #fault(plan: SessionPlan, event: AgentEvent | null, detail: string): void {
    this.faults.push({ kind: "invalid", sessionId: plan.sessionId, event, detail });
  }
}
