import { setTimeout as sleep } from "node:timers/promises";
import type { AgentEvent } from "@sendoff/contract";
import { type Answered, eventHeaders, newWebhookId, type OwnHeaders, type Poster } from "../send/post.ts";
import { type AudioServer, serveAudio } from "./audio.ts";
import { bodyOf, type Triggered } from "./session.ts";

/** One POST that was made. */
interface Posted {
  readonly sessionId: string;
  readonly event: AgentEvent;
  readonly webhookId: string;
  readonly answer: Answered;
}

/** How to POST a session's events. */
export interface DirectOptions {
  readonly url: string;
  readonly poster: Poster;
  readonly secret: string;
  readonly headers: OwnHeaders;
  /** How often each POST is made. */
  readonly times: number;
  readonly recordingUrl: string | null;
  readonly onPosted: (posted: Posted) => void;
}

/** How long the audio is served for a receiver that has not fetched it yet, in ms. */
const audioWaitMs = 3_000;

/** POSTs whole sessions, one after another, straight to a receiver. */
export async function postSessions(
  sessions: readonly { readonly triggered: Triggered; readonly order: readonly AgentEvent[] }[],
  options: DirectOptions,
): Promise<void> {
  const audio = isLoopback(options.url) && options.recordingUrl === null ? await serveAudio() : null;
  try {
    for (const { triggered, order } of sessions) {
      for (const event of order) await postEvent(triggered, event, audio, options);
    }
    await fetched(audio);
  } finally {
    audio?.close();
  }
}

async function postEvent(
  triggered: Triggered,
  event: AgentEvent,
  audio: AudioServer | null,
  { poster, secret, headers, times, recordingUrl, onPosted }: DirectOptions,
): Promise<void> {
  const { projectId, sessionId } = triggered.facts;
  const isLinked = event === "recording.ready" && triggered.recording === "ready";
  const link = isLinked
    ? (recordingUrl ?? audio?.link(projectId, sessionId) ?? deadLink(projectId, sessionId))
    : "";
  const body = bodyOf(triggered, event, link);
  const webhookId = newWebhookId();
  for (let time = 0; time < times; time += 1) {
    const answer = await poster.post(
      body,
      eventHeaders({ webhookId, body, secrets: [secret], own: headers }),
    );
    onPosted({ sessionId, event, webhookId, answer });
  }
}

/** A receiver may fetch the audio after its answer. One that never does is not waited for. */
async function fetched(audio: AudioServer | null): Promise<void> {
  const endsAt = performance.now() + audioWaitMs;
  while (audio !== null && audio.unfetched() > 0 && performance.now() < endsAt) await sleep(50);
}

const isLoopback = (url: string): boolean =>
  /^(localhost|127(\.\d+){3}|\[::1\])$/.test(new URL(url).hostname);

/** A receiver elsewhere cannot reach this machine: the link has the form of a real one and leads nowhere. */
const deadLink = (projectId: string, sessionId: string): string =>
  `https://recordings.example.com/recordings/projects/${projectId}/sessions/${sessionId}/audio.ogg?expires=1777798650&signature=c2ln`;
