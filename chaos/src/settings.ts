import { timeoutMs } from "./behaviours.ts";
import type { Settings } from "./history.ts";

/** Short enough that a run sees many deadlines pass. */
export const settings: Settings = {
  conversationGraceMs: 3_000,
  callGraceMs: 4_000,
  sessionTimeoutMs: 6_000,
  leaseMarginMs: 4_500,
};

/** How long a claim lasts on the rig's endpoints, in milliseconds. */
export const leaseOf = ({ leaseMarginMs }: Settings): number => timeoutMs + leaseMarginMs;

/** Longest start of a process, on a busy machine. */
export const startMaxMs = 90_000;
