import type { CallStatus } from "@sendoff/contract";
import type { Draw } from "./random.ts";

/**
 * How calls end that somebody spoke on, in percent: mostly one side hangs up. The six statuses that are not here
 * are those of calls without a conversation.
 */
const spokenOn: readonly (readonly [CallStatus, number])[] = [
  ["userHangup", 52],
  ["agentHangup", 31],
  ["transferred", 7],
  ["voicemail", 3],
  ["errorTransferred", 2],
  ["Ended", 2],
  ["error", 2],
  ["unknown", 1],
];

/** How calls end that nobody spoke on, in percent. */
const notSpokenOn: readonly (readonly [CallStatus, number])[] = [
  ["userNoAnswer", 38],
  ["busy", 18],
  ["userRejected", 12],
  ["invalidNumber", 8],
  ["sipTrunkFailure", 6],
  ["agentNoAnswer", 6],
  ["voicemail", 5],
  ["error", 4],
  ["unknown", 3],
];

/**
 * Statuses of a call that carried no traffic: their duration is 0 (seed: "0 for non-traffic outcomes"). Wider than
 * what the API refuses, which is only busy and invalidNumber with another duration.
 */
const withoutTraffic: ReadonlySet<CallStatus> = new Set([
  "busy",
  "userNoAnswer",
  "userRejected",
  "invalidNumber",
  "sipTrunkFailure",
  "agentNoAnswer",
]);

/** A status for a call whose row does not state one. */
export function drawCallStatus(draw: Draw, spoken: boolean): CallStatus {
  return draw.weighted(spoken ? spokenOn : notSpokenOn, "unknown");
}

/** Whether a call with this status carried no traffic. */
export const carriedNoTraffic = (status: CallStatus): boolean => withoutTraffic.has(status);
