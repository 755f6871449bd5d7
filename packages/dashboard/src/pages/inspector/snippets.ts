import type { EventName } from "../../api/types.ts";
import express from "./receivers/express.txt?raw";
import hono from "./receivers/hono.txt?raw";
import next from "./receivers/next.txt?raw";

export const frameworks = { express: "Express", hono: "Hono", next: "Next.js" } as const;
export type Framework = keyof typeof frameworks;

/** What a handler of each event is likely to want first. */
const uses: Record<EventName, string> = {
  "session.started": "console.log(payload.sessionId, payload.channel);",
  "session.ended": "console.log(payload.sessionId, payload.currentNodeId, payload.extractedVariables);",
  "call.ended": "console.log(payload.sessionId, payload.callStatus, payload.callDuration);",
  "session.finalized": "console.log(payload.sessionId, payload.messagesCount, payload.extractedVariables);",
  "recording.ready":
    "if (payload.success) console.log(payload.sessionId, payload.recordingUrl); // works for 15 minutes",
};

/** By the receiver kit: it verifies the signature, answers 2xx when the event is stored, and runs the handler once. */
const receivers: Record<Framework, string> = { express, hono, next };

/** A whole receiver for one event. */
export const snippetOf = (framework: Framework, event: EventName): string =>
  receivers[framework].replace("EVENT", event).replace("USE", uses[event]);
