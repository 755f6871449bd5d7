import type { EventName } from "../../api/types.ts";

export const frameworks = { express: "Express", hono: "Hono", next: "Next.js" } as const;
export type Framework = keyof typeof frameworks;

/** What a handler of each event is likely to want first. */
const uses: Record<EventName, string> = {
  "session.started": "console.log(event.sessionId, event.channel);",
  "session.ended": "console.log(event.sessionId, event.currentNodeId, event.extractedVariables);",
  "call.ended": "console.log(event.sessionId, event.callStatus, event.callDuration);",
  "session.finalized": "console.log(event.sessionId, event.messagesCount, event.extractedVariables);",
  "recording.ready":
    "if (event.success) console.log(event.sessionId, event.recordingUrl); // works for 15 minutes",
};

const head = `import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.SENDOFF_SIGNING_SECRET); // whsec_...`;

const handle = (event: EventName, indent: string): string =>
  [`if (event.event === "${event}") {`, `  ${uses[event]}`, "}"].map((line) => `${indent}${line}`).join("\n");

const writers: Record<Framework, (event: EventName) => string> = {
  express: (event) => `import express from "express";
${head}
const app = express();

// The signature is over the bytes as they came: express.json() would lose them.
app.post("/sendoff", express.raw({ type: "application/json" }), (request, response) => {
  let event;
  try {
    event = webhook.verify(request.body, request.headers);
  } catch {
    return response.status(401).end();
  }
${handle(event, "  ")}
  response.status(200).end();
});

app.listen(3000);
`,
  hono: (event) => `import { Hono } from "hono";
${head}
const app = new Hono();

app.post("/sendoff", async (context) => {
  const body = await context.req.text();
  let event;
  try {
    event = webhook.verify(body, context.req.header());
  } catch {
    return context.body(null, 401);
  }
${handle(event, "  ")}
  return context.body(null, 200);
});

export default app;
`,
  next: (event) => `// app/sendoff/route.ts
${head}

export async function POST(request: Request) {
  const body = await request.text();
  let event;
  try {
    event = webhook.verify(body, Object.fromEntries(request.headers)) as Record<string, unknown>;
  } catch {
    return new Response(null, { status: 401 });
  }
${handle(event, "  ")}
  return new Response(null, { status: 200 });
}
`,
};

/** A whole receiver for one event, by the Standard Webhooks library. */
export const snippetOf = (framework: Framework, event: EventName): string => writers[framework](event);
