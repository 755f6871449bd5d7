import type { ErrorCode, ErrorDetail } from "@sendoff/contract";
import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";
import { Refusal } from "../refusal.ts";

/** Most wrong fields that one answer tells of. */
const detailsMax = 20;
/** A name that is longer than any field's by so much is no slip of the pen; comparing it takes time by its length. */
const likenessMax = 64;

type InvalidCode = Extract<ErrorCode, "invalid_body" | "invalid_query" | "invalid_path">;

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
  code: InvalidCode,
  what: string,
  most: number = detailsMax,
): z.output<Schema> {
  // As safeParse does it, which would put every one of 50,000 wrong values into words.
  refuseOverlong(schema, value, code, what);
  const result = schema._zod.run({ value, issues: [] }, context);
  if (result instanceof Promise) throw new Error("a schema of a request checks nothing that takes time");
  if (result.issues.length === 0) return result.value as z.output<Schema>;
  const { told, count } = firstOf(result.issues, most);
  const details = told.map((issue) => detailOf(issue, schema, value));
  const sentences = details.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  const more = count > most ? ` And ${count - most} more.` : "";
  throw new Refusal(code, `Something in ${what} is wrong. ${sentences.join("; ")}.${more}`, { details });
}

/**
 * Refuses a list that is longer than its schema lets it be before its elements are looked at: zod counts last, and 50,000
 * wrong elements take 150 ms.
 */
function refuseOverlong(node: unknown, value: unknown, code: InvalidCode, what: string, path = ""): void {
  if (typeof value !== "object" || value === null) return;
  for (const branch of branchesOf(node)) {
    const most = (branch as z.ZodType)._zod.bag.maximum as number | undefined;
    if (Array.isArray(value) && most !== undefined && value.length > most) {
      const message = `expected at most ${most} elements; given an array of ${value.length}`;
      throw new Refusal(code, `Something in ${what} is wrong. ${path === "" ? "" : `${path}: `}${message}.`, {
        details: [{ path, message }],
      });
    }
    for (const [name, child] of Object.entries(shapeOf(branch) ?? {})) {
      if (!Object.hasOwn(value, name)) continue;
      refuseOverlong(
        child,
        (value as Record<string, unknown>)[name],
        code,
        what,
        path === "" ? name : `${path}.${name}`,
      );
    }
  }
}

type Issue = z.core.$ZodIssue;

/** What a value is checked with. */
const context = { async: false, reportInput: true } as const;

/** The first issues as zod reports them, with their words, and how many there are in all. */
function firstOf(issues: readonly z.core.$ZodRawIssue[], most: number): { told: Issue[]; count: number } {
  const told: Issue[] = [];
  let count = 0;
  for (const issue of issues) {
    const keys = issue.code === "unrecognized_keys" ? issue.keys : [];
    let own = Math.max(1, keys.length);
    if (told.length < most) {
      const few = keys.length > most ? { ...issue, keys: keys.slice(0, most) } : issue;
      const spelled = spelledOut(z.core.util.finalizeIssue(few, context, z.core.config()));
      told.push(...spelled);
      own = Math.max(keys.length, spelled.length);
    }
    count += own;
  }
  return { told: told.slice(0, most), count };
}

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
