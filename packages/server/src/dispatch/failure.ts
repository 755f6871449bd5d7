import type { AttemptStep } from "@sendoff/contract";
import type { AttemptResult } from "../outbox/result.ts";

type Failure = Pick<AttemptResult, "outcome" | "errorCode" | "failedStep">;

/** What an error means that came before any complete answer. Words: hostile cases, preface. */
export function failureOf(error: Error | null, step: AttemptStep): Failure {
  return { outcome: "unreachable", errorCode: wordOf(error, step), failedStep: step };
}

function wordOf(error: Error | null, step: AttemptStep): string {
  if (step === "dns") return "dns_error";
  if (step === "connect") return "connect_error";
  if (step === "tls") return "tls_error";
  const code = error !== null && "code" in error ? String(error.code) : "";
  // The connection broke, in contrast to an end or an answer that is not HTTP.
  return /^E[A-Z]+$/.test(code) ? "connect_error" : "protocol_error";
}
