import type { EventName, ListedSession } from "../../api/types.ts";

/** The events of a session's kind, and which of them its facts say were emitted. */
export function knownEvents(session: ListedSession): { event: EventName; emitted: boolean }[] {
  const all: { event: EventName; emitted: boolean }[] = [
    { event: "session.ended", emitted: session.conversationEndedAt !== null },
    { event: "call.ended", emitted: session.callEndedAt !== null },
    { event: "session.finalized", emitted: session.finalizedAt !== null },
    { event: "recording.ready", emitted: session.recording !== null },
  ];
  return session.channel === "text"
    ? all.filter(({ event }) => event === "session.ended" || event === "session.finalized")
    : all;
}
