import { setTimeout as sleep } from "node:timers/promises";
import { ReportAnswer } from "@sendoff/contract";
import { type Answer, type Api, errorSentence } from "../api.ts";
import { patiently } from "../patience.ts";
import type { CallAudio } from "./audio.ts";
import { BulkReports } from "./bulk.ts";
import type { Journal } from "./journal.ts";
import type { PlannedReport, PlannedRequest, PlannedUpload, SessionPlan } from "./plan.ts";

/** How fast sessions are played, and against what. */
export interface PlayOptions {
  readonly api: Api;
  readonly projectId: string;
  /** What is uploaded for calls whose recording succeeded. */
  readonly audio: CallAudio;
  /** New sessions per second. */
  readonly rate: number;
  /** How many times faster than real time a session's own duration passes. */
  readonly speed: number;
  /** How long one request is repeated while the server is away, in ms. */
  readonly patienceMs: number;
  /** Told when a session has been played to its end. */
  readonly onPlayed: () => void;
}

/** Plays the sessions, each at its own time, and writes into the journal what was answered. */
export async function play(
  plans: readonly SessionPlan[],
  journal: Journal,
  options: PlayOptions,
): Promise<void> {
  const player = new Player(journal, options);
  const startedAtMs = performance.now();
  const running: Promise<void>[] = [];
  for (const [index, plan] of plans.entries()) {
    await until(startedAtMs + (index * 1_000) / options.rate);
    running.push(player.playSession(plan));
  }
  await Promise.all(running);
}

/** Starts are spread by the clock, so that a late one does not delay those after it. */
async function until(atMs: number): Promise<void> {
  const waitMs = atMs - performance.now();
  if (waitMs > 1) await sleep(waitMs);
}

class Player {
  readonly #journal: Journal;
  readonly #options: PlayOptions;
  readonly #bulk: BulkReports;

  constructor(journal: Journal, options: PlayOptions) {
    this.#journal = journal;
    this.#options = options;
    this.#bulk = new BulkReports(options.api, options.projectId);
  }

  async playSession(plan: SessionPlan): Promise<void> {
    const startedAtMs = performance.now();
    for (const step of plan.steps) {
      await until(startedAtMs + step.atMs / this.#options.speed);
      const done = await Promise.all(step.requests.map((request) => this.#deliver(plan, request)));
      // What a server has not answered in all that time it will not answer now.
      if (done.includes(false)) break;
    }
    this.#options.onPlayed();
  }

  /** @returns false when no answer came. */
  async #deliver(plan: SessionPlan, request: PlannedRequest): Promise<boolean> {
    this.#journal.sentOnce(request);
    const result = await patiently(
      () => this.#send(plan, request),
      this.#options.patienceMs,
      () => this.#journal.retriedOnce(plan, request),
    );
    if (result.kind === "gave-up") {
      this.#journal.gaveUpOn(plan, request, result.reason);
      return false;
    }
    this.#note(plan, request, result.answer);
    return true;
  }

  #note(plan: SessionPlan, request: PlannedRequest, answer: Answer): void {
    if (answer.status < 200 || answer.status > 299) {
      this.#journal.refusedOne(plan, request, errorSentence(answer));
      return;
    }
    if (request.kind !== "report") return;
    const body = answer.body;
    const data = typeof body === "object" && body !== null && "data" in body ? body.data : undefined;
    const report = ReportAnswer.safeParse(data);
    if (report.success) this.#journal.took(plan, request.type, report.data, answer.sentAtMs);
    else
      this.#journal.refusedOne(plan, request, `${answer.status} with a body that is no answer to a report`);
  }

  async #send(plan: SessionPlan, request: PlannedRequest): Promise<Answer> {
    const { api, projectId, audio } = this.#options;
    const sessions = `/v1/projects/${projectId}/sessions`;
    switch (request.kind) {
      case "create":
        return api.request("POST", sessions, request.body);
      case "progress":
        return api.request("PATCH", `${sessions}/${plan.sessionId}`, request.body);
      case "report":
        if ("seconds" in request) {
          const bytes = await audio.of(plan.sessionId, request.seconds);
          return api.upload(`${sessions}/${plan.sessionId}/recording`, bytes);
        }
        return plan.bulk
          ? this.#bulk.send(bulkItem(plan, request))
          : api.request("POST", `${sessions}/${plan.sessionId}/${request.type}`, request.body);
    }
  }
}

const bulkItem = (plan: SessionPlan, request: Exclude<PlannedReport, PlannedUpload>): object => ({
  type: request.type,
  sessionId: plan.sessionId,
  ...request.body,
});
