import type { LogRow, SinkRequest } from "../history.ts";
import { attemptKey, type Evidence, type Violation, violation } from "./evidence.ts";
import { shown } from "./posts.ts";

/** I6: a row says of an attempt only what the sink saw of that very attempt. */
export function checkTruth({ history, requestsOf, endpointOf }: Evidence): Violation[] {
  return history.tables.logs.flatMap((row) => {
    const requests = requestsOf.get(attemptKey(row.webhookId, row.attempt)) ?? [];
    const wrong = lieOf(row, requests[0], endpointOf.get(row.project)?.path === null);
    return wrong === null
      ? []
      : violation(
          "I6",
          `${row.event} of ${row.session}, attempt ${row.attempt}: ${wrong}`,
          row,
          ...shown(requests),
        );
  });
}

const isSuccess = (status: number): boolean => status >= 200 && status < 300;

/** What is wrong with a row, or null. */
function lieOf(row: LogRow, request: SinkRequest | undefined, forbidden: boolean): string | null {
  const status = request?.answer?.status ?? null;
  // When the worker died before it had looked at the address, nobody knows how far it came.
  if (forbidden && row.outcome !== "blocked" && row.errorCode !== "worker_lost")
    return `${row.outcome}, though its address is forbidden`;
  switch (row.outcome) {
    case "delivered":
    case "rejected":
      if (status === null) return `${row.outcome}, but the sink has answered no such attempt`;
      if (status !== row.status) return `the row has status ${row.status}, the sink answered ${status}`;
      if (isSuccess(status) !== (row.outcome === "delivered")) return `${row.outcome} with status ${status}`;
      return null;
    case "unreachable":
      return status !== null && isSuccess(status) && request?.sent === true
        ? "unreachable, but the sink has answered it in full"
        : null;
    case "blocked":
    case "cancelled":
      return request === undefined ? null : `${row.outcome}, but the sink got a request`;
    default:
      return null;
  }
}
