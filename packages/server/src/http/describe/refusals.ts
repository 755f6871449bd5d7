import { type ErrorCode, errorCatalogue } from "@sendoff/contract";
import type { Route } from "../route.ts";

/** Refusals that a route may answer because of what it is; those that are its own stand with it. */
function commonRefusals(route: Route): ErrorCode[] {
  return [
    ...(route.access === "open"
      ? []
      : (["missing_key", "wrong_key", "rate_limited", "not_signed_in", "cross_site_request"] as const)),
    ...(route.access === "developer" ? (["developer_key_needed"] as const) : []),
    ...(route.access === "project" ? (["project_not_found"] as const) : []),
    ...(route.path.includes("{sessionId}") ? (["invalid_path"] as const) : []),
    ...(route.query === undefined ? [] : (["invalid_query"] as const)),
    ...(route.body === undefined
      ? []
      : (["media_type_not_json", "body_too_large", "invalid_json", "too_deep", "invalid_body"] as const)),
    "internal_error",
    "database_unavailable",
  ];
}

/** Every refusal that a route may answer, by status and then in the catalogue's order. */
export function refusalsOf(route: Route): Map<number, ErrorCode[]> {
  const codes = new Set<ErrorCode>([...commonRefusals(route), ...(route.errors ?? [])]);
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
    if (!codes.has(code)) continue;
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return new Map([...byStatus].sort(([left], [right]) => left - right));
}
