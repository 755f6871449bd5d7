import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Scope } from "./scope.ts";
import type { Arrivals, Behaviour, FromSink, ToSink } from "./sink-messages.ts";

/** The receiver, as the benchmark sees it. */
export interface Sink {
  /**
   * Opens ports to receive on. A port is an origin: endpoints with a port each share no connections, as those of
   * different companies would not.
   */
  listen(ports: number): Promise<readonly number[]>;
  /** How ports answer from now on. What they held is answered when they shall answer again. */
  behave(ports: readonly number[], behaviour: Behaviour): Promise<void>;
  /** What has arrived since the last call. */
  take(): Promise<Arrivals>;
  /** How many requests have arrived at ports that only count. */
  counted(): Promise<number>;
  readonly pid: number;
}

export function startSink(scope: Scope): Sink {
  const child = fork(fileURLToPath(new URL("./sink-process.js", import.meta.url)), {
    serialization: "advanced",
  });
  scope.add(() => {
    if (child.connected) child.disconnect();
  });
  // One question at a time: answers carry no number.
  let last: Promise<unknown> = Promise.resolve();
  const ask = <Type extends FromSink["type"]>(message: ToSink): Promise<FromSink & { type: Type }> => {
    const answer = last.then(async () => {
      const replied = once(child, "message");
      child.send(message);
      const [reply] = (await replied) as [FromSink & { type: Type }];
      return reply;
    });
    last = answer.catch(() => {});
    return answer;
  };
  return {
    listen: async (ports) => (await ask<"listening">({ type: "listen", ports })).ports,
    behave: async (ports, behaviour) => {
      await ask({ type: "behave", ports, behaviour });
    },
    take: () => ask<"arrived">({ type: "take" }),
    counted: async () => (await ask<"counted">({ type: "count" })).requests,
    pid: child.pid ?? 0,
  };
}
