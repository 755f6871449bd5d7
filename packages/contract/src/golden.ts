import { type Channel, callStatuses, type EventName, statusesWithoutDuration } from "./events.ts";
import { type PayloadFacts, payloadText, withRecordingUrl } from "./payloads.ts";

// The facts are those of the seeds' own examples, so that the golden bodies can be held against the seeds.

const callFacts: PayloadFacts = {
  projectId: "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20",
  sessionId: "2c4f9a13-7e6b-4d8a-9f25-c81e3a7b6d04",
  channel: "call",
  currentNodeId: "ask_intention",
  messagesCount: 8,
  variables: '{"name":"Nancy","intention":"book a demo"}',
  callStatus: "userHangup",
  callDuration: 78,
  recordingSuccess: true,
};

const textFacts: PayloadFacts = {
  ...callFacts,
  sessionId: "5d8e1f2a-9c4b-4e7d-b3a8-6f9c2d5e8a01",
  channel: "text",
  currentNodeId: "start",
  messagesCount: 10,
  variables: '{"name":"Nancy"}',
  callStatus: null,
  callDuration: null,
  recordingSuccess: null,
};

const recordingUrl =
  "https://recordings.example.com/recordings/projects/8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20/sessions/2c4f9a13-7e6b-4d8a-9f25-c81e3a7b6d04/audio.ogg?expires=1777798650&signature=c2ln";

const body = (event: EventName, facts: PayloadFacts, at: string): string =>
  payloadText(event, facts, new Date(at));

/**
 * One realistic body of an event, as the golden ones are, for another session. That of a `recording.ready` says success
 * and has no recordingUrl yet, as a stored one.
 *
 * @param emittedAt its `timestamp`.
 */
export function examplePayload(
  event: EventName,
  channel: Channel,
  ids: { readonly projectId: string; readonly sessionId: string },
  emittedAt: Date,
): string {
  return payloadText(event, { ...(channel === "call" ? callFacts : textFacts), ...ids }, emittedAt);
}

/** One example body of every variant of every event, by file name, byte for byte as it would be sent. */
export function goldenExamples(): Record<string, string> {
  const examples: Record<string, string> = {
    "session.started": body("session.started", callFacts, "2026-05-03T08:40:53.002Z"),
    "session.ended": body("session.ended", callFacts, "2026-05-03T08:42:11.512Z"),
    "session.finalized.call": body("session.finalized", callFacts, "2026-05-03T08:42:14.300Z"),
    "session.finalized.text": body("session.finalized", textFacts, "2026-05-03T08:48:15.288Z"),
    "recording.ready.success": withRecordingUrl(
      body("recording.ready", callFacts, "2026-05-03T08:42:30.114Z"),
      recordingUrl,
    ),
    "recording.ready.failure": body(
      "recording.ready",
      { ...callFacts, recordingSuccess: false },
      "2026-05-03T08:42:30.114Z",
    ),
  };
  for (const callStatus of callStatuses) {
    const callDuration = statusesWithoutDuration.includes(callStatus) ? 0 : 78;
    examples[`call.ended.${callStatus}`] = body(
      "call.ended",
      { ...callFacts, callStatus, callDuration },
      "2026-05-03T08:42:14.022Z",
    );
  }
  return examples;
}
