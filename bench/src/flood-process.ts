// Sends requests without a pause, in a process of its own, by the quickest way that a Node process has (undici's
// Pool.dispatch). It is the load of the benchmarks at saturation, and itself the reference for what one process can send.
import { type Dispatcher, Pool } from "undici";
import type { Flooded, FloodPlan, ToFlood } from "./flood-messages.ts";
import { msNs, nowNs } from "./time.ts";

const keptMax = 10_000;
let accepted = 0;
let refused = 0;
let refusedMs: number[] = [];
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
  const beganNs = nowNs();
  let status = 0;
  const over = (): void => {
    if (status >= 200 && status < 300) accepted += 1;
    else {
      refused += 1;
      if (refusedMs.length < keptMax) refusedMs.push((nowNs() - beganNs) / msNs);
    }
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

process.on("message", (message: ToFlood) => {
  if (message.type === "begin") flood(message.plan);
  if (message.type === "end") ending = true;
  const reply: Flooded = { type: "flooded", accepted, refused, refusedMs };
  if (message.type === "count") refusedMs = [];
  process.send?.(reply);
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
