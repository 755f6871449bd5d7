import type { ErrorCode, ErrorDetail } from "@sendoff/contract";
import { closest, distance } from "fastest-levenshtein";
import type { z } from "zod";
import { Refusal } from "../refusal.ts";

/** Most wrong fields that one answer tells of. */
const detailsMax = 20;
/** A name that is longer than any field's by so much is no slip of the pen; comparing it takes time by its length. */
const likenessMax = 64;

/**
 * The value as its schema has it.
 *
 * @param what the words for it in the sentence, such as "the body".
 * @param most how many wrong fields are told of.
 * @throws Refusal with every wrong field: where it is, what was expected, and for an unknown one what may be meant.
 */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  code: Extract<ErrorCode, "invalid_body" | "invalid_query" | "invalid_path">,
  what: string,
  most: number = detailsMax,
): z.output<Schema> {
  const result = schema.safeParse(value, { reportInput: true });
  if (result.success) return result.data;
  const issues = result.error.issues.flatMap((issue) => spelledOut(issue));
  const details = issues.slice(0, most).map((issue) => detailOf(issue, schema, value));
  const sentences = details.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  const more = issues.length > most ? ` And ${issues.length - most} more.` : "";
  throw new Refusal(code, `Something in ${what} is wrong. ${sentences.join("; ")}.${more}`, { details });
}

type Issue = z.core.$ZodIssue;

/** Of a union that failed, the issues of the branch that came closest; an issue with several unknown keys as several. */
function spelledOut(issue: Issue): Issue[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ ...issue, keys: [key], path: [...issue.path, key] }));
  }
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return [issue];
  const best = [...issue.errors].sort((left, right) => left.length - right.length)[0] ?? [];
  return best.flatMap((inner) => spelledOut({ ...inner, path: [...issue.path, ...inner.path] }));
}

function detailOf(issue: Issue, schema: z.ZodType, value: unknown): ErrorDetail {
  return { path: pathText(issue.path), message: messageOf(issue, schema, value) };
}

function messageOf(issue: Issue, schema: z.ZodType, value: unknown): string {
  if (issue.code === "unrecognized_keys") {
    const name = issue.keys[0] ?? "";
    const known = knownFields(schema, issue.path.slice(0, -1));
    if (known.includes(name)) return "not a field of this kind; leave it out";
    const near = known.length === 0 || name.length > likenessMax ? "" : closest(name, known);
    return near !== "" && distance(name, near) <= 3
      ? `unknown field; did you mean ${near}?`
      : `unknown field; expected ${known.length === 0 ? "none" : `one of ${known.join(", ")}`}`;
  }
  const given = givenAt(value, issue);
  if (issue.code === "invalid_type" && given === undefined) {
    return `missing; expected ${article(issue.expected)}`;
  }
  if (issue.code === "invalid_union" && "options" in issue && Array.isArray(issue.options)) {
    const expected = `expected one of ${issue.options.map(String).join(", ")}`;
    return given === undefined ? `missing; ${expected}` : `${expected}; given ${shown(given)}`;
  }
  if (issue.code === "invalid_value") {
    return `expected ${issue.values.length > 1 ? "one of " : ""}${issue.values.map(String).join(", ")}; given ${shown(given)}`;
  }
  if (issue.code === "invalid_type") return `expected ${article(issue.expected)}; given ${shown(given)}`;
  if (issue.code === "too_small" && issue.origin === "number") {
    return `expected ${issue.minimum} or more; given ${shown(given)}`;
  }
  return given === undefined ? issue.message : `${issue.message}; given ${shown(given)}`;
}

/** The names that the object at a path may have, as far as the schema tells. */
function knownFields(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let nodes: unknown[] = [schema];
  for (const part of path) nodes = nodes.flatMap((node) => childrenOf(node, part));
  const names = nodes.flatMap((node) => branchesOf(node)).flatMap((node) => Object.keys(shapeOf(node) ?? {}));
  return [...new Set(names)];
}

const childrenOf = (node: unknown, part: PropertyKey): unknown[] =>
  branchesOf(node).flatMap((branch) => {
    const definition = definitionOf(branch);
    if (definition.type === "array") return [definition.element];
    const child = shapeOf(branch)?.[String(part)];
    return child === undefined ? [] : [child];
  });

/** The schema without what wraps it; a union's members. */
function branchesOf(node: unknown): unknown[] {
  const { options, innerType, in: input } = definitionOf(node);
  if (options !== undefined) return options.flatMap((option) => branchesOf(option));
  if (innerType !== undefined) return branchesOf(innerType);
  return input === undefined ? [node] : branchesOf(input);
}

interface Definition {
  readonly type?: string;
  readonly options?: unknown[];
  readonly innerType?: unknown;
  readonly element?: unknown;
  readonly in?: unknown;
  readonly shape?: Record<string, unknown>;
}

const definitionOf = (node: unknown): Definition =>
  (node as { _zod?: { def?: Definition } } | undefined)?._zod?.def ?? {};
const shapeOf = (node: unknown): Record<string, unknown> | undefined => definitionOf(node).shape;

/** What was sent at an issue's place, not what the schema made of it on the way: "abc", not NaN. */
function givenAt(value: unknown, issue: Issue): unknown {
  let current: unknown = value;
  for (const part of issue.path) {
    // The schema took a text apart: only the issue has the part.
    if (typeof current === "string") return issue.input;
    current = (current as Record<PropertyKey, unknown> | null | undefined)?.[part];
  }
  return current;
}

const pathText = (path: readonly PropertyKey[]): string =>
  path
    .map((part, index) =>
      typeof part === "number" ? `[${part}]` : `${index === 0 ? "" : "."}${String(part)}`,
    )
    .join("")
    .slice(0, 200);

const article = (expected: string): string =>
  expected === "int" ? "a whole number" : `${/^[aeiou]/.test(expected) ? "an" : "a"} ${expected}`;

/** What was given, short enough for a sentence. */
function shown(input: unknown): string {
  if (input === undefined) return "nothing";
  if (typeof input === "number" || typeof input === "boolean" || input === null) return String(input);
  if (typeof input === "string")
    return input.length <= 60 ? JSON.stringify(input) : `${input.length} characters of text`;
  return Array.isArray(input) ? `an array of ${input.length}` : "an object";
}
