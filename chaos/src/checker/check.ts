import type { History } from "../history.ts";
import { checkEmission } from "./emission.ts";
import { type Evidence, evidenceOf, type Violation } from "./evidence.ts";
import { checkIdempotence } from "./idempotence.ts";
import { checkInvention, checkTrespass } from "./invention.ts";
import { checkFinalization, checkSettlement } from "./liveness.ts";
import { checkLostAcks } from "./lost-acks.ts";
import { checkOrder } from "./order.ts";
import { checkPosts } from "./posts.ts";
import { checkReadiness } from "./readiness.ts";
import { checkRecordings } from "./recordings.ts";
import { checkReturns } from "./returns.ts";
import { checkSignatures } from "./signature.ts";
import { checkTruth } from "./truth.ts";
import { checkUnsent } from "./unsent.ts";

export type { Violation } from "./evidence.ts";

/** What is decided, each by one pure function. Source: guarantees, "Safety" and "Liveness". */
export const invariants: Readonly<Record<string, (evidence: Evidence) => Violation[]>> = {
  I1: checkLostAcks,
  I2: checkPosts,
  I3: checkOrder,
  I4: checkEmission,
  I5: checkInvention,
  I6: checkTruth,
  I8: checkSignatures,
  I9: checkTrespass,
  I11: checkRecordings,
  I13: checkIdempotence,
  L1: checkFinalization,
  L2: checkSettlement,
  L3: checkReturns,
  L6: checkReadiness,
  L7: checkUnsent,
};

/** Decides every invariant on the history of a run. */
export function check(history: History): Violation[] {
  const evidence = evidenceOf(history);
  return Object.values(invariants).flatMap((decide) => decide(evidence));
}
