// Sends requests without a pause, in a process of its own, by the quickest way that a Node process has (undici's
// Pool.dispatch). It is the load of the benchmarks at saturation, and itself the reference for what one process can send.
import { type Dispatcher, Pool } from "undici";
import type { Flooded, FloodPlan, ToFlood } from "./flood-messages.ts";
import { until } from "./time.ts";

/** How long the last answers may take. */
const lastAnswersMs = 30_000;
let accepted = 0;
let refused = 0;
let unanswered = 0;
let underWay = 0;
let sent = 0;
let ending = false;

function flood(plan: FloodPlan): void {
  const pool = new Pool(plan.origin, { connections: plan.connections, pipelining: 1 });
  for (let index = 0; index < plan.connections; index++) next(pool, plan);
}

function next(pool: Pool, plan: FloodPlan): void {
  if (ending) return;
  const number = sent++;
  const request = plan.requests[number % plan.requests.length];
  if (request === undefined) return;
  underWay += 1;
  let status = 0;
  const over = (): void => {
    underWay -= 1;
    if (status >= 200 && status < 300) accepted += 1;
    else if (status === 0) unanswered += 1;
    else refused += 1;
    // A server that refuses at once would else keep this process busy with nothing but refusals.
    if (status === 0) setTimeout(() => next(pool, plan), 10);
    else next(pool, plan);
  };
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart(_controller, statusCode) {
      status = statusCode;
    },
    onResponseData() {},
    onResponseEnd: over,
    onResponseError: over,
  };
  pool.dispatch(
    {
      path: request.path.replace("{n}", String(number)),
      method: "POST",
      headers: request.headers as string[],
      body: request.body,
    },
    handler,
  );
}

async function answer(message: ToFlood): Promise<Flooded> {
  if (message.type === "begin") flood(message.plan);
  if (message.type === "end") {
    ending = true;
    // What is cut now would be neither accepted nor refused, and the log could not be compared with anything.
    await until("every request is answered", lastAnswersMs, () => underWay === 0);
  }
  return { type: "flooded", accepted, refused, unanswered };
}

process.on("message", (message: ToFlood) => {
  void answer(message).then((reply) => process.send?.(reply));
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
