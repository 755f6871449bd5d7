// One attack on a Sendoff of this benchmark's, in a process of its own. It ends with its parent.
import type { Answered, AttackPlan } from "./attack.ts";
import { attacks } from "./attacks.ts";

const answered: Record<number, number> = {};
let ended = false;

const note = (status: number): void => {
  answered[status] = (answered[status] ?? 0) + 1;
};

process.on("message", (message: AttackPlan | "end") => {
  if (message === "end") {
    ended = true;
    process.send?.(answered satisfies Answered);
    return;
  }
  attacks[message.name].run({ plan: message, note, isEnded: () => ended });
});
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
