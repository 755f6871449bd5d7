import { setTimeout as sleep } from "node:timers/promises";
import { SessionDetail, settledStates } from "@sendoff/contract";
import { type Answer, type Api, errorSentence } from "../api.ts";
import { CommandFailure } from "../io.ts";
import { ask, dataAs } from "../paged.ts";
import { patiently } from "../patience.ts";
import type { Draw } from "../simulate/random.ts";
import { toneWav } from "./audio.ts";
import type { OrderKind, Triggered } from "./session.ts";

type Step = "conversation" | "call" | "recording";

/** How to report a session to a project. */
export interface ReportOptions {
  readonly api: Api;
  readonly order: OrderKind;
  readonly draw: Draw;
  /** How often each report is sent. */
  readonly times: number;
}

/** Reports one session as a runtime does it. @throws {CommandFailure} with what the server says. */
export async function reportSession(triggered: Triggered, options: ReportOptions): Promise<void> {
  const { facts } = triggered;
  const path = `/v1/projects/${facts.projectId}/sessions`;
  const started = { sessionId: facts.sessionId, channel: facts.channel, startNodeId: "start" };
  await taken(() => options.api.request("POST", path, started));
  for (const step of stepsOf(triggered, options)) {
    for (let time = 0; time < options.times; time += 1) {
      await taken(() => report(step, `${path}/${facts.sessionId}`, triggered, options.api));
    }
  }
}

function stepsOf({ facts, recording, nobodySpoke }: Triggered, { order, draw }: ReportOptions): Step[] {
  const steps: Step[] = [
    ...(nobodySpoke ? [] : (["conversation"] as const)),
    ...(facts.channel === "call" ? (["call"] as const) : []),
    ...(recording === "none" ? [] : (["recording"] as const)),
  ];
  const first = order === "hangup-first" ? "call" : order === "recording-first" ? "recording" : null;
  if (first !== null)
    return steps.toSorted((left, right) => Number(right === first) - Number(left === first));
  if (order === "natural") return steps;
  return steps
    .map((step) => ({ step, at: draw.next() }))
    .sort((left, right) => left.at - right.at)
    .map(({ step }) => step);
}

async function report(step: Step, path: string, triggered: Triggered, api: Api): Promise<Answer> {
  const { facts, recording, nobodySpoke } = triggered;
  switch (step) {
    case "conversation":
      return api.request("POST", `${path}/conversation-ended`, {
        channel: facts.channel,
        currentNodeId: facts.currentNodeId,
        messagesCount: facts.messagesCount,
        extractedVariables: JSON.parse(facts.variables),
      });
    case "call":
      return api.request("POST", `${path}/call-ended`, {
        callStatus: facts.callStatus,
        callDuration: facts.callDuration,
        ...(nobodySpoke ? { conversation: "none" } : {}),
      });
    case "recording":
      return recording === "failed"
        ? api.request("POST", `${path}/recording-processed`, { success: false, error: "no audio was mixed" })
        : storeRecording(path, triggered, api);
  }
}

/** Uploads a tone. A server without that route is told where the audio would be. */
async function storeRecording(path: string, { facts }: Triggered, api: Api): Promise<Answer> {
  const answer = await api.upload(`${path}/recording`, toneWav());
  if (answer.status !== 404 && answer.status !== 405) return answer;
  const objectKey = `projects/${facts.projectId}/sessions/${facts.sessionId}/audio.wav`;
  return api.request("POST", `${path}/recording-processed`, { success: true, objectKey });
}

/** How long a report is repeated while the server is away or busy, in ms: what was committed answers as a duplicate. */
const patienceMs = 15_000;

async function taken(send: () => Promise<Answer>): Promise<void> {
  const result = await patiently(send, patienceMs);
  if (result.kind === "gave-up") throw new CommandFailure(`${result.reason}. Start it with npm start.`);
  const { answer } = result;
  if (answer.status < 200 || answer.status > 299) {
    throw new CommandFailure(`The report was not taken: ${errorSentence(answer)}`);
  }
}

/** A session's timeline when all that is owed of it has settled, or when the time is up. */
export async function settledSession(
  triggered: Triggered,
  api: Api,
  limitMs: number,
): Promise<{ readonly detail: SessionDetail; readonly settled: boolean }> {
  const { projectId, sessionId } = triggered.facts;
  const endsAt = performance.now() + limitMs;
  for (;;) {
    const answer = await ask(api, "GET", `/v1/projects/${projectId}/sessions/${sessionId}`);
    const detail = dataAs(answer, SessionDetail, "The session");
    const settled = isSettled(detail);
    if (settled || performance.now() > endsAt) return { detail, settled };
    await sleep(100);
  }
}

const isSettled = (detail: SessionDetail): boolean =>
  detail.state === "finalized" &&
  detail.timeline.deliveries.every(({ state }) => settledStates.some((settled) => settled === state));
