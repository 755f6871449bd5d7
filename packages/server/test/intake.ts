import type pg from "pg";
import { systemClock } from "../src/clock.ts";
import { createReportIntake, type IntakeParts, type ReportIntake } from "../src/lifecycle/apply.ts";
import type { Report } from "../src/lifecycle/session.ts";
import { createLog } from "../src/log.ts";
import { noHandover } from "../src/outbox/handover.ts";
import type { AttemptResult } from "../src/outbox/result.ts";

/** So long that none ends in a test. */
const graces = { conversationMs: 30_000, callMs: 300_000, sessionMs: 21_600_000 };

/** An intake of reports that says nothing and delivers nothing, unless it is told to. */
export const createTestIntake = (pool: pg.Pool, parts: Partial<IntakeParts> = {}): ReportIntake =>
  createReportIntake({
    pool,
    log: createLog("silent"),
    graces,
    // For a machine that is busy with something else.
    timeoutMs: 60_000,
    handover: noHandover,
    clock: systemClock,
    onOwed: () => {},
    ...parts,
  });

/** The end of a conversation. */
export const conversationEnded = (
  channel: "call" | "text",
  extractedVariables = "{}",
): Extract<Report, { type: "conversation-ended" }> => ({
  type: "conversation-ended",
  channel,
  currentNodeId: "closing",
  messagesCount: 4,
  extractedVariables,
  endedAt: null,
});

export const callEnded: Report = {
  type: "call-ended",
  callStatus: "userHangup",
  callDuration: 12,
  conversation: null,
  endedAt: null,
};

export const recordingFailed: Report = {
  type: "recording-processed",
  success: false,
  objectKey: null,
  error: null,
};

/** An attempt that was answered 204 within a millisecond. */
export const deliveredResult: AttemptResult = {
  outcome: "delivered",
  errorCode: null,
  failedStep: null,
  responseStatus: 204,
  responseBody: null,
  durationMs: 1,
  retryAfterMs: null,
};
