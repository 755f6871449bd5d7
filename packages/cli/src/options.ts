import { durationMs } from "@sendoff/contract";
import { InvalidArgumentError } from "commander";

/** A whole number from 1. @throws {InvalidArgumentError} */
export function wholeNumber(value: string): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number > 0 && Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError("Expected a whole number from 1.");
}

/** A number above 0. @throws {InvalidArgumentError} */
export function positiveNumber(value: string): number {
  const number = Number(value);
  if (/^\d+(\.\d+)?$/.test(value) && number > 0) return number;
  throw new InvalidArgumentError("Expected a number above 0.");
}

/** A number to draw from. @throws {InvalidArgumentError} */
export function seedNumber(value: string): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number < 2 ** 32) return number;
  throw new InvalidArgumentError("Expected a whole number from 0 to 4294967295.");
}

/** A length of time in milliseconds. @throws {InvalidArgumentError} */
export function duration(value: string): number {
  try {
    return durationMs(value);
  } catch {
    throw new InvalidArgumentError("Expected a whole number and ms, s, m or h, such as 60s.");
  }
}

/** An http or https URL. @throws {InvalidArgumentError} */
export function httpUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url?.protocol === "http:" || url?.protocol === "https:") return value;
  throw new InvalidArgumentError("Expected an http or https URL, such as http://localhost:3000/hook.");
}

/** Names that carry the framing of a request, or what Sendoff says in it. */
const reserved =
  /^(host|connection|content-length|content-type|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*|webhook-.*|sendoff-.*)$/;

/** Collects `--header "Name: value"`. @throws {InvalidArgumentError} */
export function headerOption(
  value: string,
  before: Readonly<Record<string, string>>,
): Record<string, string> {
  const [, name = "", content = ""] =
    /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/.exec(value) ?? [];
  if (name === "")
    throw new InvalidArgumentError('Expected a name and a value, such as "Authorization: Bearer token".');
  if (reserved.test(name.toLowerCase())) {
    throw new InvalidArgumentError(`${name} is set by Sendoff itself and cannot be given.`);
  }
  return { ...before, [name.toLowerCase()]: content };
}

/** A moment in ISO 8601, in UTC. @throws {InvalidArgumentError} */
export function moment(value: string): string {
  if (/^\d{4}-\d\d-\d\d(T|$)/.test(value) && !Number.isNaN(Date.parse(value)))
    return new Date(value).toISOString();
  throw new InvalidArgumentError(
    "Expected a moment such as 2026-05-03T08:42:11Z, or a day such as 2026-05-03.",
  );
}
