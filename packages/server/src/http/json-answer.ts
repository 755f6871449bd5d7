import type { ErrorBody } from "@sendoff/contract";
import { stringify } from "../json-text.ts";
import type { Refusal } from "../refusal.ts";

/** What every JSON answer has: what strangers wrote is in it, and no browser shall take it for anything else. */
export const jsonHeaders = {
  "content-type": "application/json",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** The body of the API's error answer. */
export function errorBody({ code, message, details }: Refusal): string {
  const body: ErrorBody = { error: { code, message, details: [...details] } };
  return stringify(body);
}

/** The whole of an error answer, for a request that never gets to the routes. */
export function errorAnswer(refusal: Refusal): { headers: Record<string, string | number>; body: string } {
  const body = errorBody(refusal);
  return {
    headers: { ...jsonHeaders, ...refusal.headers, "content-length": Buffer.byteLength(body) },
    body,
  };
}
