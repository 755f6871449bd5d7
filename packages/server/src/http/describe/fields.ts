import { type JsonSchema, nameOf, resolved } from "./schemas.ts";

/** One field of a body, for a table. */
export interface Field {
  /** Where it is: `postSessionWebhook.headers[].key`. */
  readonly path: string;
  /** Its type and bounds, in words. */
  readonly type: string;
  readonly required: boolean;
  readonly description: string;
  readonly deprecated: boolean;
}

/** Deepest path that is listed. */
const depthMax = 5;

type Named = Record<string, JsonSchema>;

/** Every field of a schema, outer ones first. Of several forms, all fields of all, each once. */
export function fieldsOf(schema: JsonSchema, named: Named): Field[] {
  const fields = new Map<string, Field>();
  collect(schema, "", 0, named, (field) => {
    const before = fields.get(field.path);
    if (before === undefined) fields.set(field.path, field);
    else if (before.type !== field.type)
      fields.set(field.path, {
        ...before,
        type: `${before.type}, or ${field.type}`,
        required: before.required && field.required,
      });
  });
  return [...fields.values()];
}

function collect(
  given: JsonSchema,
  path: string,
  depth: number,
  named: Named,
  add: (field: Field) => void,
): void {
  const schema = resolved(given, named);
  for (const form of formsOf(schema)) collect(form, path, depth, named, add);
  if (depth === depthMax) return;
  if (schema.items !== undefined) collect(schema.items as JsonSchema, `${path}[]`, depth, named, add);
  const required = (schema.required ?? []) as string[];
  for (const [name, property] of Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>)) {
    const inner = resolved(property, named);
    // A field that must not be there, such as callStatus of a text session.
    if (inner.not !== undefined && Object.keys(inner.not as object).length === 0) continue;
    const place = path === "" ? name : `${path}.${name}`;
    add({
      path: place,
      type: typeOf(property, named),
      required: required.includes(name),
      description: typeof inner.description === "string" ? inner.description : "",
      deprecated: inner.deprecated === true,
    });
    collect(property, place, depth + 1, named, add);
  }
}

const formsOf = (schema: JsonSchema): JsonSchema[] =>
  (["anyOf", "oneOf", "allOf"] as const).flatMap((key) => (schema[key] ?? []) as JsonSchema[]);

/** A schema in words: `string, 1 to 128 characters`, `call or text`, `Timestamp or null`. */
export function typeOf(given: JsonSchema, named: Named): string {
  const schema = resolved(given, named);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  const forms = formsOf(schema);
  if (forms.length > 0) return [...new Set(forms.map((form) => typeOf(form, named)))].join(" or ");
  if (schema.type === undefined) return "any JSON";
  const type = [schema.type].flat().join(" or ");
  const parts = schema.prefixItems as JsonSchema[] | undefined;
  if (parts !== undefined) return `array of ${parts.map((part) => typeOf(part, named)).join(" and then ")}`;
  if (type === "array")
    return `array of ${typeOf((schema.items ?? {}) as JsonSchema, named)}${bounds(schema)}`;
  const name = nameOf(given);
  const known = typeof schema.format === "string" ? ` (${schema.format})` : "";
  return type === "object" && name !== null ? name : `${type}${known}${bounds(schema)}`;
}

function bounds(schema: JsonSchema): string {
  const span = (low: unknown, high: unknown, unit: string): string => {
    if (low === undefined && high === undefined) return "";
    if (high === undefined) return `, ${low} or more${unit}`;
    return low === undefined ? `, at most ${high}${unit}` : `, ${low} to ${high}${unit}`;
  };
  // The bounds of whole numbers that JSON carries exactly are not a rule of this field.
  const minimum = schema.minimum === Number.MIN_SAFE_INTEGER ? undefined : schema.minimum;
  const maximum = schema.maximum === Number.MAX_SAFE_INTEGER ? undefined : schema.maximum;
  const initial = schema.default === undefined ? "" : `, default ${JSON.stringify(schema.default)}`;
  return [
    span(schema.minLength, schema.maxLength, " characters"),
    span(schema.minItems, schema.maxItems, " items"),
    span(minimum, maximum, ""),
    initial,
  ].join("");
}
