// Requests for an operation of the API's description: as it is described, and in ways that it is not.
import fc from "fast-check";
import {
  changedValues,
  oddNames,
  oddValues,
  type Schema,
  type Source,
  valuesOf,
} from "../../../test/json-schema-arbitrary.ts";
import type { Operation, Parameter } from "../src/http/describe/openapi.ts";

/** An operation and where it is called. */
export interface Target {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** Whether the path is that of the operation, that with an odd part, or what may be that of another one. */
type Place = "usual" | "odd" | "elsewhere";

/** Ten samples of silence as a WAV file of which each byte is a character. */
export const tinyWav = `RIFF.\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0d\0\0\0d\0\0\0\x01\0\x08\0data\x0a\0\0\0${"@".repeat(10)}`;

/** One request, as it goes out. */
export interface ApiCall {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
  /** The body as a value; undefined when it is not sent as JSON. */
  readonly value: unknown;
  readonly place: Place;
  readonly key: "right" | "wrong";
}

interface Key {
  /** The Authorization header; empty: none. */
  readonly text: string;
  readonly key: "right" | "wrong";
}

/** Keys that fit an operation, and such as do not. */
export interface Keys {
  readonly right: (operation: Operation) => readonly string[];
  readonly wrong: (operation: Operation) => readonly string[];
}

/** Any request for an operation. About half are as described; of the others one thing or several are not. */
export function callsOf(target: Target, source: Source, keys: Keys): fc.Arbitrary<ApiCall> {
  const { operation } = target;
  const sometimes = <Value>(usual: fc.Arbitrary<Value>, odd: fc.Arbitrary<Value>): fc.Arbitrary<Value> =>
    fc.oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: odd });
  return fc
    .record({
      path: sometimes(pathsOf(target, source), oddPathsOf(target, source)),
      query: sometimes(queriesOf(operation, source), oddQueriesOf(operation, source)),
      key: sometimes(
        fc.constantFrom(...keys.right(operation)).map((text): Key => ({ text, key: "right" })),
        fc.constantFrom(...keys.wrong(operation)).map((text): Key => ({ text, key: "wrong" })),
      ),
      accept: fc.constantFrom("*/*", "application/json", "text/html"),
      body: bodiesOf(operation, source),
    })
    .map(({ path, query, key, accept, body }) => ({
      method: target.method,
      path: path.text + query,
      headers: {
        accept,
        // What the dashboard's pages send with each change.
        ...(target.path.startsWith("/dashboard/") ? { "sendoff-dashboard": "1" } : {}),
        ...(key.text === "" ? {} : { authorization: key.text }),
        ...(body.type === null ? {} : { "content-type": body.type }),
        ...body.headers,
      },
      body: body.text,
      value: body.value,
      place: path.place,
      key: key.key,
    }));
}

interface PathText {
  readonly text: string;
  readonly place: Place;
}

const parametersIn = (operation: Operation, place: Parameter["in"]): Parameter[] =>
  (operation.parameters ?? []).filter((parameter) => parameter.in === place);

/** The path with a value for each part. */
function pathsOf({ path, operation }: Target, source: Source): fc.Arbitrary<PathText> {
  const parts = parametersIn(operation, "path").map(({ name, schema }) =>
    valuesOf(schema as Schema, source, name)
      .filter((value) => !["", ".", ".."].includes(String(value)))
      .map((value) => [name, encoded(String(value))] as const),
  );
  return fc.tuple(...parts).map((values) => ({ text: filled(path, values), place: "usual" }));
}

/** Parts of a path as nobody should send them: undecodable, dots and slashes, very long. */
const oddParts = fc.oneof(
  fc.constantFrom(
    "%00",
    "%ff",
    "%zz",
    "%",
    "%e0%a4%a",
    "a%2fb",
    "..%2f..",
    "%2e%2e",
    "%5c",
    "%0d%0a",
    "*",
    "'",
    "~",
  ),
  fc.constantFrom(
    "x".repeat(4_000),
    "0",
    "-1",
    "1e3",
    "9".repeat(30),
    "null",
    "__proto__",
    "constructor",
    "%f0%9f%92%a5",
  ),
  fc.string({ minLength: 1, maxLength: 20 }).map(encoded),
);

/** The path with a part that is odd, or with something behind it. */
function oddPathsOf(target: Target, source: Source): fc.Arbitrary<PathText> {
  const names = parametersIn(target.operation, "path").map(({ name }) => name);
  return fc
    .tuple(pathsOf(target, source), oddParts, fc.nat(), fc.boolean())
    .map(([usual, odd, at, behind]) => {
      const name = names[at % Math.max(names.length, 1)];
      if (name === undefined || behind) return { text: `${usual.text}/${odd}`, place: "elsewhere" };
      const others = names.map((one) => [one, one === name ? odd : "x"] as const);
      return { text: filled(target.path, others), place: "odd" };
    });
}

const filled = (path: string, values: ReadonlyArray<readonly [string, string]>): string =>
  values.reduce((text, [name, value]) => text.replace(`{${name}}`, () => value), path);

/** As in a URL; a half of a surrogate pair, which has no UTF-8, as the sign for what is not known. */
function encoded(text: string): string {
  return encodeURIComponent(text.replace(/\p{Cs}/gu, "\ufffd")).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16)}`,
  );
}

const queryText = (pairs: ReadonlyArray<readonly [string, unknown]>): string =>
  pairs.length === 0
    ? ""
    : `?${pairs.map(([name, value]) => `${encoded(name)}=${encoded(String(value))}`).join("&")}`;

function queriesOf(operation: Operation, source: Source): fc.Arbitrary<string> {
  const pairs = parametersIn(operation, "query").map(({ name, required, schema }) => {
    const pair = valuesOf(schema as Schema, source, name).map((value) => [[name, value] as const]);
    const weight = required ? 0 : 4;
    return fc.oneof({ weight: 1, arbitrary: pair }, { weight, arbitrary: fc.constant([]) });
  });
  return fc.tuple(...pairs).map((values) => queryText(values.flat()));
}

/** A query with a wrong value, an unknown name, a name that stands twice, or what cannot be decoded. */
function oddQueriesOf(operation: Operation, source: Source): fc.Arbitrary<string> {
  const names = parametersIn(operation, "query").map(({ name }) => name);
  const name = names.length === 0 ? oddNames : fc.oneof(fc.constantFrom(...names), oddNames);
  return fc.oneof(
    fc.tuple(name, oddValues).map((pair) => queryText([pair])),
    fc.tuple(name, oddValues).map((pair) => queryText([pair, pair])),
    queriesOf(operation, source).map((query) => `${query}${query === "" ? "?" : "&"}unknown=1`),
    fc.constantFrom("?", "?&&=", "?%zz=%ff", "?limit", "?limit=%00", `?a=${"x".repeat(4_000)}`),
  );
}

interface SentBody {
  readonly type: string | null;
  readonly text: string | null;
  readonly value: unknown;
  readonly headers: Record<string, string>;
}

const jsonType = "application/json";

function bodiesOf(operation: Operation, source: Source): fc.Arbitrary<SentBody> {
  const sent = (type: string | null, text: string | null, value?: unknown, headers = {}): SentBody => ({
    type,
    text,
    value,
    headers,
  });
  const schema = operation.requestBody?.content[jsonType]?.schema as Schema | undefined;
  const none = fc.constant(sent(null, null));
  if (Object.keys(operation.requestBody?.content ?? {}).some((type) => type.startsWith("audio/"))) {
    const audio = fc.constantFrom(
      sent("audio/wav", tinyWav),
      sent("audio/ogg", `${tinyWav}@`),
      sent("", tinyWav),
    );
    const other = fc.constantFrom(
      sent("audio/wav", "hello"),
      sent(jsonType, "{}"),
      sent("audio/ogg", "OggS"),
    );
    return fc.oneof({ weight: 4, arbitrary: audio }, { weight: 2, arbitrary: other }, none);
  }
  if (schema === undefined) {
    // A client may send a content type, or a body, where none is asked for.
    const strange = fc.constantFrom(sent(jsonType, null), sent(jsonType, "{}"), sent("text/plain", "hello"));
    return fc.oneof({ weight: 4, arbitrary: none }, { weight: 1, arbitrary: strange });
  }
  const values = valuesOf(schema, source);
  const asJson = (value: unknown): SentBody => sent(jsonType, JSON.stringify(value), value);
  const types = fc.constantFrom(
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/jsonx",
    "",
    "*/*",
  );
  return fc.oneof(
    { weight: 10, arbitrary: values.map(asJson) },
    { weight: 7, arbitrary: changedValues(values).map(asJson) },
    { weight: 1, arbitrary: changedValues(changedValues(values)).map(asJson) },
    { weight: 1, arbitrary: oddValues.map(asJson) },
    {
      weight: 1,
      arbitrary: fc.tuple(values, types).map(([value, type]) => sent(type, JSON.stringify(value))),
    },
    { weight: 2, arbitrary: brokenTexts(values).map((text) => sent(jsonType, text, parsed(text))) },
    {
      weight: 1,
      arbitrary: values.map((value) =>
        sent(jsonType, JSON.stringify(value), undefined, { "content-encoding": "gzip" }),
      ),
    },
    { weight: 1, arbitrary: none },
  );
}

/** What a text is as JSON; undefined when it is none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Texts that are not JSON, or that are more of it than is taken. */
function brokenTexts(values: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  return fc.oneof(
    fc.tuple(values, fc.nat()).map(([value, at]) => {
      const text = JSON.stringify(value);
      return text.slice(0, at % text.length);
    }),
    values.map((value) => `\ufeff${JSON.stringify(value)}`),
    values.map((value) => `${JSON.stringify(value)}}`),
    fc.constantFrom("", "{", "nul", "'{}'", '{"a":1,}', "NaN", '{"a":"\u0001"}', "[1e99999]", '"\\ud800"'),
    fc.constantFrom("[".repeat(40), `${"[".repeat(5_000)}`, `{"a":${"[".repeat(33)}${"]".repeat(33)}}`),
    fc.constantFrom(`{"a":"${"x".repeat(1024 * 1024)}"}`, JSON.stringify(Array(11_000).fill({ a: 1 }))),
  );
}
