import {
  type AgentEvent,
  type CallStatus,
  type Channel,
  type PayloadFacts,
  payloadText,
  withRecordingUrl,
} from "@sendoff/contract";
import { carriedNoTraffic } from "../simulate/call-statuses.ts";
import type { Draw } from "../simulate/random.ts";
import type { SessionRow } from "../simulate/rows.ts";

export const recordingKinds = ["ready", "failed", "none"] as const;
export type RecordingKind = (typeof recordingKinds)[number];
export const orderKinds = ["natural", "hangup-first", "recording-first", "shuffled"] as const;
export type OrderKind = (typeof orderKinds)[number];

/** What a session is to be like. */
export interface Wanted {
  readonly channel: Channel;
  /** Calls only. */
  readonly status: CallStatus;
  /** Seconds; null: by the status. */
  readonly duration: number | null;
  /** null: by the status. */
  readonly recording: RecordingKind | null;
  readonly variables: string | null;
}

/** One session that is about to be told of. */
export interface Triggered {
  readonly facts: PayloadFacts;
  readonly recording: RecordingKind;
  /** Nobody spoke, so there was no conversation. */
  readonly nobodySpoke: boolean;
}

/** A session like those of the demo, with what is wanted of it. */
export function triggeredSession(
  wanted: Wanted,
  row: SessionRow,
  ids: { readonly projectId: string; readonly sessionId: string },
): Triggered {
  const isCall = wanted.channel === "call";
  const nobodySpoke = isCall && carriedNoTraffic(wanted.status);
  const recording = isCall ? (wanted.recording ?? (nobodySpoke ? "none" : "ready")) : "none";
  const variables = wanted.variables ?? (nobodySpoke ? "{}" : JSON.stringify(row.extractedVariables));
  return {
    recording,
    nobodySpoke,
    facts: {
      ...ids,
      channel: wanted.channel,
      currentNodeId: nobodySpoke ? "start" : (row.currentNodeId ?? "start"),
      messagesCount: nobodySpoke ? 0 : (row.messagesCount ?? 0),
      variables,
      callStatus: isCall ? wanted.status : null,
      callDuration: isCall ? (wanted.duration ?? (nobodySpoke ? 0 : (row.callDuration ?? 78))) : null,
      recordingSuccess: recording === "none" ? null : recording === "ready",
    },
  };
}

/** The order of a session's events. `session.finalized` is last among its three: no other order is legal. */
export function eventOrder({ facts, recording }: Triggered, order: OrderKind, draw: Draw): AgentEvent[] {
  if (facts.channel !== "call") return ["session.ended", "session.finalized"];
  const hangupFirst = order === "hangup-first" || (order === "shuffled" && draw.chance(0.5));
  const ends: AgentEvent[] = hangupFirst
    ? ["call.ended", "session.ended", "session.finalized"]
    : ["session.ended", "call.ended", "session.finalized"];
  if (recording === "none") return ends;
  const place =
    order === "recording-first" ? 0 : order === "shuffled" ? draw.whole(0, ends.length) : ends.length;
  return ends.toSpliced(place, 0, "recording.ready");
}

/** The body of an event of the session, as Sendoff would send it at this moment. */
export function bodyOf({ facts, recording }: Triggered, event: AgentEvent, recordingUrl: string): string {
  const text = payloadText(event, facts, new Date());
  return event === "recording.ready" && recording === "ready" ? withRecordingUrl(text, recordingUrl) : text;
}
