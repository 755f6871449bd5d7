import type { EventName } from "../../api/types.ts";

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

/** The receiver kit verifies the signature, answers 2xx when the event is stored, and runs the handler once. */
const receiver = (event: EventName): string => `const receiver = createReceiver({
  verify: { secrets: process.env.SIGNING_SECRET }, // whsec_..., shown once in Settings
  store: memoryStore(), // in production postgresStore or redisStore: a restart forgets nothing
  on: {
    "${event}": async (payload) => {
      ${uses[event]}
    },
  },
});`;

const writers: Record<Framework, (event: EventName) => string> = {
  express: (event) => `// npm install @sendoff/receiver express
import { createReceiver, memoryStore } from "@sendoff/receiver";
import { expressHandler } from "@sendoff/receiver/express";
import express from "express";

${receiver(event)}
await receiver.start();

const app = express();
// Before express.json(): the signature is over the bytes as they came.
app.post("/sendoff", expressHandler(receiver));
app.listen(4700);
`,
  hono: (event) => `// npm install @sendoff/receiver hono @hono/node-server
import { serve } from "@hono/node-server";
import { createReceiver, memoryStore } from "@sendoff/receiver";
import { honoHandler } from "@sendoff/receiver/hono";
import { Hono } from "hono";

${receiver(event)}
await receiver.start();

const app = new Hono();
app.post("/sendoff", honoHandler(receiver));
serve({ fetch: app.fetch, port: 4700 });
`,
  next: (event) => `// npm install @sendoff/receiver; this file is app/sendoff/route.ts
import { createReceiver, memoryStore } from "@sendoff/receiver";
import { nextHandlers } from "@sendoff/receiver/next";

/** Signatures need node:crypto. */
export const runtime = "nodejs";

${receiver(event).replace("process.env.SIGNING_SECRET", 'process.env.SIGNING_SECRET ?? ""')}

export const { POST } = nextHandlers(receiver);
`,
};

/** A whole receiver for one event, by the receiver kit. */
export const snippetOf = (framework: Framework, event: EventName): string => writers[framework](event);
