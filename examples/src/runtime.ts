// A small runtime: the thing that talks to callers, as far as Sendoff has to do with it. It plays calls and reports the
// facts about each: what was said so far, that the conversation ended, that the call ended, and its recording.
// SENDOFF_URL, SENDOFF_PROJECT and SENDOFF_KEY in the environment; the number of calls as argument.
import { randomUUID } from "node:crypto";

const { SENDOFF_URL = "http://127.0.0.1:4600", SENDOFF_PROJECT = "", SENDOFF_KEY = "" } = process.env;
const triesMax = 10;

/**
 * Reports a fact until Sendoff has it. A report may be sent again as often as one likes: only its first one counts. What
 * is refused with 4xx would be refused again and is an error of the runtime.
 */
async function report(method: string, path: string, body: object): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const response = await fetch(`${SENDOFF_URL}/v1/projects/${SENDOFF_PROJECT}/sessions${path}`, {
      method,
      headers: { authorization: `Bearer ${SENDOFF_KEY}`, "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(10_000),
    }).catch((error: Error) => error);
    if (response instanceof Response && response.ok) return;
    const what =
      response instanceof Response ? `${response.status} ${await response.text()}` : response.message;
    const isLost = response instanceof Response && response.status < 500 && response.status !== 429;
    if (isLost || tries === triesMax) throw new Error(`${method} ${path}: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 100 * 2 ** tries) * Math.random()));
  }
}

async function call(): Promise<string> {
  const sessionId = randomUUID();
  const path = `/${sessionId}`;
  await report("POST", "", { sessionId, channel: "call", startNodeId: "greeting" });
  // What is known so far goes along, so that Sendoff can finish the session by itself if this process dies.
  await report("PATCH", path, { currentNodeId: "ask_intention", messagesCount: 4 });
  // The two ends may come in either order, also at the same moment.
  await Promise.all([
    report("POST", `${path}/conversation-ended`, {
      ...{ currentNodeId: "goodbye", messagesCount: 8 },
      extractedVariables: { name: "Nancy", intention: "book a demo" },
    }),
    report("POST", `${path}/call-ended`, { callStatus: "userHangup", callDuration: 78.4 }),
  ]);
  await report("POST", `${path}/recording-processed`, { success: false, error: "nobody recorded this call" });
  return sessionId;
}

for (let left = Number(process.argv[2] ?? 1); left > 0; left -= 1) console.log(await call());
