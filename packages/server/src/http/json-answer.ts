import type { ErrorBody } from "@sendoff/contract";
import { stringify } from "../json-text.ts";
import type { Refusal } from "../refusal.ts";

/** What every JSON answer has: what strangers wrote is in it, and no browser shall take it for anything else. */
export const jsonHeaders = {
  "content-type": "application/json",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
};

/** Bounds of an error answer: what somebody sent must not come back many times over. */
const detailsMax = 20;
const messageMax = 4_000;
const detailMax = 400;

/** The API's error answer to a refusal. */
export const errorOf = ({ code, message, details }: Refusal): ErrorBody => ({
  error: {
    code,
    message: cut(message, messageMax),
    details: details
      .slice(0, detailsMax)
      .map(({ path, message: what }) => ({ path: cut(path, detailMax), message: cut(what, detailMax) })),
  },
});

/** A text that is cut ends with a full stop like any other sentence. */
const cut = (text: string, max: number): string =>
  text.length <= max ? text : `${text.slice(0, max)} ... .`;

/** The text of {@link errorOf}. */
export const errorBody = (refusal: Refusal): string => stringify(errorOf(refusal));

/** The whole of an error answer, for a request that never gets to the routes. */
export function errorAnswer(refusal: Refusal): { headers: Record<string, string | number>; body: string } {
  const body = errorBody(refusal);
  return {
    headers: { ...jsonHeaders, ...refusal.headers, "content-length": Buffer.byteLength(body) },
    body,
  };
}
