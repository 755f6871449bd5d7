import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { AttackName } from "./attacks.ts";
import type { Scope } from "./scope.ts";

/** Who attacks, and whom. */
export interface AttackPlan {
  readonly name: AttackName;
  readonly origin: string;
  /** A project of the attacker's own. */
  readonly projectId: string;
  readonly projectKey: string;
  /** The address that takes POSTs of a built-in inspector of the attacker's. */
  readonly inspectorUrl: string;
}

/** How an attack was answered: how often with each status; 0 is a connection that was ended. */
export type Answered = Readonly<Record<number, number>>;

/** An attack that goes on, from a process of its own. */
export interface Attack {
  end(): Promise<Answered>;
}

/** Begins an attack; it goes on until it is ended, or the run ends. */
export async function startAttack(scope: Scope, plan: AttackPlan): Promise<Attack> {
  const child = fork(fileURLToPath(new URL("./attack-process.js", import.meta.url)));
  scope.add(() => {
    if (child.connected) child.disconnect();
  });
  child.send(plan);
  return {
    async end() {
      const answered = once(child, "message");
      child.send("end");
      const [reply] = (await answered) as [Answered];
      child.disconnect();
      return reply;
    },
  };
}
