import type { Applied } from "./lifecycle/batch.ts";
import type { Report } from "./lifecycle/session.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import type { ReportCounter } from "./overview/reports.ts";
import { Refusal } from "./refusal.ts";

/** Counts a report that was decided, and writes its line of the log. */
export function tellReport(
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
  report: Report,
  sessionId: string,
  answer: Applied | Refusal,
  counter: ReportCounter,
): void {
  const result = resultOf(answer);
  // A deadline is no report of the runtime.
  if (result !== "refused" && report.type !== "deadline" && !(answer instanceof Refusal)) {
    counter.count(answer.session.projectId, result);
  }
  metrics.reports.inc({ type: report.type, result });
  const events = answer instanceof Refusal ? [] : answer.events;
  for (const event of events) metrics.events.inc({ event });
  log.info({
    event: "report.answered",
    sessionId,
    type: report.type,
    result,
    ...(answer instanceof Refusal ? { code: answer.code } : { projectId: answer.session.projectId, events }),
  });
}

function resultOf(answer: Applied | Refusal): "accepted" | "duplicate" | "late" | "refused" {
  if (answer instanceof Refusal) return "refused";
  if (answer.duplicate) return "duplicate";
  return answer.late ? "late" : "accepted";
}
