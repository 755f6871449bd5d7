import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { OpenLoopOutcome, OpenLoopPlan } from "./open-loop-messages.ts";
import type { Scope } from "./scope.ts";

/** Offers what the plan says, from a process of its own, and tells what became of it when the last answer is there. */
export async function runOpenLoop(scope: Scope, plan: OpenLoopPlan): Promise<OpenLoopOutcome> {
  const child = fork(fileURLToPath(new URL("./open-loop-process.js", import.meta.url)), {
    serialization: "advanced",
  });
  scope.add(() => {
    if (child.connected) child.disconnect();
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`The load's process ended with ${code}.`);
  });
  ended.catch(() => {});
  const replied = once(child, "message");
  child.send(plan);
  const [outcome] = (await Promise.race([replied, ended])) as [OpenLoopOutcome];
  child.disconnect();
  return outcome;
}
