import {
  type AgentEvent,
  agentEvents,
  type InspectedRequest,
  payloadText,
  withRecordingUrl,
} from "@sendoff/contract";
import type { LogRow } from "../src/simulate/check.ts";
import { eventsCertain, Journal } from "../src/simulate/journal.ts";
import type { SessionPlan } from "../src/simulate/plan.ts";
import { planSessions } from "../src/simulate/plans.ts";
import { demoFile, readRows } from "../src/simulate/rows.ts";
import { Wire } from "../src/simulate/wire.ts";

const projectId = "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20";

/** Plans of the demo sessions. */
export function demoPlans(seed = 1, sessions = 24): SessionPlan[] {
  return planSessions(readRows(demoFile), { sessions, seed, run: "abc123" });
}

/** What one attempt left behind: a row of the log and a request at the inspector. A test takes away or adds. */
export interface Attempt {
  readonly row: LogRow;
  readonly request: InspectedRequest;
}

/** A run in which everything went as it should: the journal, and every attempt in the order in which it was made. */
export function faultlessRun(plans: readonly SessionPlan[]): { journal: Journal; attempts: Attempt[] } {
  const journal = new Journal(plans);
  const attempts: Attempt[] = [];
  for (const plan of plans) {
    reportAll(journal, plan);
    const record = journal.sessions.get(plan.sessionId);
    for (const event of record === undefined ? [] : eventsCertain(record)) {
      attempts.push(attemptOf(plan, event, attempts.length + 1));
    }
  }
  return { journal, attempts };
}

/** Answers each report of a plan as the server would: the first of a kind is new, later ones are duplicates. */
function reportAll(journal: Journal, plan: SessionPlan): void {
  for (const request of plan.steps.flatMap((step) => step.requests)) {
    journal.sentOnce(request);
    if (request.kind !== "report") continue;
    const duplicate = journal.sessions.get(plan.sessionId)?.taken.has(request.type) === true;
    journal.took(
      plan,
      request.type,
      { sessionId: plan.sessionId, state: "ending", duplicate, late: false, events: [] },
      0,
    );
  }
}

/** A delivered attempt of an event, as the `place`-th of all. */
export function attemptOf(plan: SessionPlan, event: AgentEvent, place: number, attempt = 1): Attempt {
  const at = new Date(1_777_797_734_000 + place * 10);
  const webhookId = `msg_${plan.sessionId}_${event}`;
  return {
    row: {
      id: String(place),
      sessionId: plan.sessionId,
      event,
      webhookId,
      attempt,
      trigger: "live",
      outcome: "delivered",
      attemptedAt: at.toISOString(),
      settledAs: "delivered",
    },
    request: {
      id: String(place),
      receivedAt: at.toISOString(),
      headers: {
        "content-type": "application/json",
        "webhook-id": webhookId,
        "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
        "webhook-signature": `v1,${"A".repeat(43)}=`,
        "sendoff-attempt": String(attempt),
        "sendoff-trigger": "live",
      },
      body: bodyOf(plan, event, at),
    },
  };
}

/** The body that the server would send. */
function bodyOf(plan: SessionPlan, event: AgentEvent, at: Date): string {
  const { facts } = plan;
  const body = payloadText(
    event,
    {
      projectId,
      sessionId: plan.sessionId,
      channel: plan.channel,
      currentNodeId: facts.currentNodeId,
      messagesCount: facts.messagesCount,
      variables: JSON.stringify(facts.extractedVariables),
      callStatus: facts.callStatus,
      callDuration: facts.callDuration,
      recordingSuccess: facts.recordingSuccess,
    },
    at,
  );
  const recorded = event === "recording.ready" && facts.recordingSuccess === true;
  return recorded ? withRecordingUrl(body, "https://recordings.example.com/audio.ogg?signature=c2ln") : body;
}

/** What the checker takes, from a journal and attempts. */
export function checkInput(journal: Journal, attempts: readonly Attempt[]) {
  const wire = new Wire((id) => journal.sessions.get(id)?.plan, projectId);
  for (const { request } of attempts) wire.add(request);
  return {
    sessions: journal.sessions.values(),
    subscribed: agentEvents as readonly AgentEvent[],
    rows: attempts.map(({ row }) => row),
    wire,
  };
}
