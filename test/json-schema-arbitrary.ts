// Values for a JSON Schema: those that fit it, and such as somebody might send instead.
import fc from "fast-check";

/** A JSON Schema, or a part of one. */
export type Schema = { readonly [keyword: string]: unknown };

/** What values are made from. */
export interface Source {
  /** What a reference leads to. */
  resolve(ref: string): Schema;
  /** Values that mean something to the server, by the name of the field or parameter that they are for. */
  readonly known: ReadonlyMap<string, readonly string[]>;
}

/** Longest arrays and texts that are made; a schema may allow more. */
const itemsMax = 4;
const charactersMax = 60;

/** Keywords that say nothing of the value, or nothing that is needed to make one. */
const silent = ["description", "examples", "default", "deprecated", "title", "$schema", "id"];
const understood = [
  ...["$ref", "const", "enum", "anyOf", "oneOf", "type", "properties", "required", "additionalProperties"],
  ...[
    "propertyNames",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "pattern",
    "format",
    "minLength",
    "maxLength",
  ],
  ...["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "not", ...silent],
];

/**
 * Values that fit a schema.
 *
 * @param name of the field that the value is for.
 * @throws Error at a keyword that it does not know: teach it here, or values would be made that do not fit.
 */
export function valuesOf(schema: Schema, source: Source, name = ""): fc.Arbitrary<unknown> {
  const unknown = Object.keys(schema).filter((keyword) => !understood.includes(keyword));
  if (unknown.length > 0)
    throw new Error(`no values can be made for ${unknown} of ${JSON.stringify(schema)}`);
  if (typeof schema.$ref === "string") return valuesOf(source.resolve(schema.$ref), source, name);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom(...schema.enum);
  const forms = (schema.anyOf ?? schema.oneOf) as Schema[] | undefined;
  if (forms !== undefined) return fc.oneof(...forms.map((form) => valuesOf(form, source, name)));
  const types = schema.type === undefined ? ["any"] : [schema.type].flat();
  return fc.oneof(...types.map((type) => valuesOfType(String(type), schema, source, name)));
}

function valuesOfType(type: string, schema: Schema, source: Source, name: string): fc.Arbitrary<unknown> {
  switch (type) {
    case "object":
      return objects(schema, source);
    case "array": {
      if (Array.isArray(schema.prefixItems)) {
        return fc.tuple(...schema.prefixItems.map((item: Schema) => valuesOf(item, source, name)));
      }
      const minLength = Number(schema.minItems ?? 0);
      const maxLength = Math.max(minLength, Math.min(Number(schema.maxItems ?? itemsMax), itemsMax));
      return fc.array(valuesOf((schema.items ?? {}) as Schema, source, name), { minLength, maxLength });
    }
    case "string":
      return strings(schema, source, name);
    case "integer":
      return fc.integer({
        min: Math.max(Number(schema.minimum ?? -1_000), -2_147_483_648),
        max: Math.min(Number(schema.maximum ?? 100_000), 2_147_483_647),
      });
    case "number":
      return fc.double({
        min: Number(schema.minimum ?? -1e9),
        max: Number(schema.maximum ?? 1e9),
        noNaN: true,
      });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    default:
      return fc.oneof(fc.jsonValue({ maxDepth: 3 }), oddValues);
  }
}

function objects(schema: Schema, source: Source): fc.Arbitrary<object> {
  const required = (schema.required ?? []) as string[];
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Schema>)
    // A field that must not be there.
    .filter(([, property]) => property.not === undefined)
    .map(([name, property]) => {
      const values = valuesOf(property, source, name).map((value) => [[name, value] as const]);
      return required.includes(name) ? values : fc.oneof(values, fc.constant([]));
    });
  const others = schema.additionalProperties;
  const more =
    others === undefined || others === false
      ? fc.constant([])
      : fc.array(fc.tuple(oddNames, valuesOf(others === true ? {} : (others as Schema), source)), {
          maxLength: 3,
        });
  return fc.tuple(fc.tuple(...properties), more).map(([own, further]) =>
    // Not by assignment: __proto__ is a name like any other.
    Object.fromEntries([...further, ...own.flat()]),
  );
}

function strings(schema: Schema, { known }: Source, name: string): fc.Arbitrary<string> {
  const pattern = typeof schema.pattern === "string" ? new RegExp(schema.pattern, "u") : null;
  const minLength = Number(schema.minLength ?? 0);
  const maxLength = Number(schema.maxLength ?? charactersMax);
  const fits = (text: string): boolean =>
    (pattern?.test(text) ?? true) && [...text].length >= minLength && [...text].length <= maxLength;
  const made =
    formatted(schema) ?? (pattern === null ? texts(minLength, maxLength) : fc.stringMatching(pattern));
  const meant = fc.nat().map((at) => {
    const values = known.get(name) ?? [];
    return values[at % Math.max(values.length, 1)] ?? null;
  });
  return fc
    .tuple(made, meant, fc.integer({ min: 0, max: 7 }))
    .map(([text, value, turn]) =>
      turn > 0 && value !== null && fits(value) ? value : text.slice(0, maxLength),
    );
}

function texts(minLength: number, maxLength: number): fc.Arbitrary<string> {
  const bounds = { minLength, maxLength: Math.max(minLength, Math.min(maxLength, charactersMax)) };
  return fc.oneof(fc.string(bounds), fc.string({ ...bounds, unit: "grapheme-composite" }));
}

function formatted({ format }: Schema): fc.Arbitrary<string> | null {
  if (format === "uuid") return fc.uuid();
  if (format === "uri") return fc.webUrl();
  if (format !== "date-time") return null;
  const range = { min: new Date("1970-01-01"), max: new Date("2100-01-01"), noInvalidDate: true };
  const moments = fc.date(range).map((date) => date.toISOString());
  return fc.oneof(
    moments,
    moments.map((text) => text.replace("Z", "+05:30")),
  );
}

/** Values that a server must be ready for wherever another one belongs. */
export const oddValues: fc.Arbitrary<unknown> = fc.constantFrom<unknown[]>(
  ...[null, true, false, 0, -1, 1.5, 2 ** 53, 1e300, -1e-300],
  ...[
    "",
    " ",
    "\u0000",
    "a\u0000b",
    "\ud800",
    "\u202etxt",
    "null",
    "1e400",
    "💥",
    "'; --",
    "x".repeat(5_000),
  ],
  ...["2026-02-30T00:00:00Z", "99999-01-01T00:00:00Z", "http://127.0.0.1:1/", "../../x", "%00", "\r\nx: y"],
  ...[[], {}, [[[]]], [null], { a: { b: [1] } }, Array(200).fill(0)],
);

/** Names of fields that are names of something else too. */
export const oddNames: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    "__proto__",
    "constructor",
    "toString",
    "toJSON",
    "then",
    "length",
    "",
    "a.b",
    "a\u0000",
    "💥",
    "id",
  ),
  fc.string({ maxLength: 12 }),
);

/** One change to a value: something in it is replaced, taken out or added. */
export function changedValues(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc
    .tuple(values, fc.nat(), fc.constantFrom("replace", "remove", "add"), oddValues, oddNames)
    .map(([value, at, how, odd, name]) => {
      const places = placesOf(value);
      const place = places[at % places.length] ?? [];
      if (how === "replace" || place.length === 0) return withAt(value, place, () => odd);
      if (how === "add") return withAt(value, place.slice(0, -1), (inner) => added(inner, name, odd));
      return withAt(value, place.slice(0, -1), (inner) => removed(inner, place.at(-1) as string | number));
    });
}

type Place = ReadonlyArray<string | number>;

/** Every place in a value, itself first. */
function placesOf(value: unknown): Place[] {
  if (typeof value !== "object" || value === null) return [[]];
  const inner = Array.isArray(value)
    ? value.map((item, index) => [index, item] as const)
    : Object.entries(value);
  return [[], ...inner.flatMap(([key, one]) => placesOf(one).map((place) => [key, ...place]))];
}

function withAt(value: unknown, [first, ...rest]: Place, change: (inner: unknown) => unknown): unknown {
  if (first === undefined) return change(value);
  if (Array.isArray(value)) {
    return value.map((item, index) => (index === first ? withAt(item, rest, change) : item));
  }
  return Object.fromEntries(
    Object.entries(value as object).map(([key, one]) => [
      key,
      key === first ? withAt(one, rest, change) : one,
    ]),
  );
}

const added = (value: unknown, name: string, odd: unknown): unknown =>
  Array.isArray(value)
    ? [...value, odd]
    : Object.fromEntries([...Object.entries(value as object), [name, odd]]);

const removed = (value: unknown, key: string | number): unknown =>
  Array.isArray(value)
    ? value.filter((_, index) => index !== key)
    : Object.fromEntries(Object.entries(value as object).filter(([name]) => name !== key));
