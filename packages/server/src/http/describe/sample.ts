import { type JsonSchema, resolved } from "./schemas.ts";

/** Deepest nesting of an example; what is deeper is left out. */
const depthMax = 12;

/**
 * An example of a schema: its `examples`, and where there are none, the simplest value that fits. Every field is
 * there that has an example or a simple form.
 *
 * @returns undefined when there is none: a string of a pattern without `examples`.
 */
export function sampleOf(given: JsonSchema, named: Record<string, JsonSchema>, depth = 0): unknown {
  const schema = resolved(given, named);
  if (Array.isArray(schema.examples) && schema.examples.length > 0) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (Array.isArray(schema.enum)) return schema.enum[0];
  if (schema.default !== undefined) return schema.default;
  if (depth > depthMax) return undefined;
  const variants = (schema.oneOf ?? schema.anyOf) as JsonSchema[] | undefined;
  if (variants !== undefined) return sampleOf(variants[0] ?? {}, named, depth + 1);
  switch (Array.isArray(schema.type) ? schema.type[0] : schema.type) {
    case "object":
      return objectSample(schema, named, depth);
    case "array": {
      const parts = schema.prefixItems as JsonSchema[] | undefined;
      if (parts !== undefined) return parts.map((part) => sampleOf(part, named, depth + 1) ?? null);
      const item = sampleOf((schema.items ?? {}) as JsonSchema, named, depth + 1);
      return item === undefined ? [] : [item];
    }
    case "string":
      return stringSample(schema);
    case "integer":
    case "number":
      return Math.max(Number(schema.minimum ?? 0), 0) + (schema.exclusiveMinimum === undefined ? 0 : 1);
    case "boolean":
      return false;
    case "null":
      return null;
    default:
      return undefined;
  }
}

function objectSample(schema: JsonSchema, named: Record<string, JsonSchema>, depth: number): object {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>);
  return Object.fromEntries(
    properties
      .map(([name, property]) => [name, sampleOf(property, named, depth + 1)] as const)
      .filter(([, value]) => value !== undefined),
  );
}

function stringSample(schema: JsonSchema): string | undefined {
  if (schema.format === "uri") return "https://hooks.example.com/sendoff";
  if (schema.format === "uuid") return "8f3e2c91-4a7b-4d6e-a23c-9b1f5e8d4c20";
  if (schema.pattern !== undefined) return undefined;
  return "text".padEnd(Number(schema.minLength ?? 0), "-").slice(0, Number(schema.maxLength ?? 4));
}
