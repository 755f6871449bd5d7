import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Flooded, FloodPlan, ToFlood } from "./flood-messages.ts";
import type { Scope } from "./scope.ts";

/** Requests without a pause, from a process of their own. */
export interface Flood {
  readonly pid: number;
  /** What has been answered so far. */
  count(): Promise<Flooded>;
  /** No more requests; waits for the answers to those under way and ends the process. */
  end(): Promise<Flooded>;
}

export async function startFlood(scope: Scope, plan: FloodPlan): Promise<Flood> {
  const child = fork(fileURLToPath(new URL("./flood-process.js", import.meta.url)), {
    serialization: "advanced",
  });
  scope.add(() => {
    if (child.connected) child.disconnect();
  });
  const ask = async (message: ToFlood): Promise<Flooded> => {
    const replied = once(child, "message");
    child.send(message);
    const [reply] = (await replied) as [Flooded];
    return reply;
  };
  await ask({ type: "begin", plan });
  return {
    pid: child.pid ?? 0,
    count: () => ask({ type: "count" }),
    async end() {
      const flooded = await ask({ type: "end" });
      child.disconnect();
      return flooded;
    },
  };
}
