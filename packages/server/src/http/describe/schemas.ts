import { z } from "zod";

/** A JSON Schema, or a part of one. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** The schemas of a document: each named one stands once under `components.schemas`, and is referred to. */
export interface SchemaCollection {
  /** A schema for a place in the document: a reference when it has a name, else the schema itself. */
  refer(schema: z.ZodType): JsonSchema;
  /** A part of a schema that another collection made, with what it refers to. */
  adopt(part: JsonSchema, from: SchemaCollection): JsonSchema;
  /** Every named schema that was referred to, by name and in its order. */
  named(): Record<string, JsonSchema>;
}

const local = "#/$defs/";
const component = "#/components/schemas/";

/**
 * Collects schemas as the one who writes the JSON sees them (`io: "input"`): what is not said to be refused passes, so
 * that a reader of answers does not break on the next field.
 */
export function collectSchemas(): SchemaCollection {
  const named = new Map<string, JsonSchema>();
  return {
    refer(schema) {
      const { $schema: _, $defs, ...root } = z.toJSONSchema(schema, { io: "input" }) as JsonSchema;
      for (const [name, definition] of Object.entries(($defs ?? {}) as Record<string, JsonSchema>)) {
        named.set(name, pointed(definition) as JsonSchema);
      }
      return pointed(root) as JsonSchema;
    },
    adopt(part, from) {
      const all = from.named();
      const take = (value: unknown): void => {
        for (const name of namesIn(value)) {
          if (named.has(name)) continue;
          named.set(name, all[name] ?? {});
          take(all[name]);
        }
      };
      take(part);
      return part;
    },
    named: () => Object.fromEntries([...named].sort(([left], [right]) => (left < right ? -1 : 1))),
  };
}

/** Every name that is referred to in a schema. */
function namesIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  const own = nameOf(value as JsonSchema);
  return [...(own === null ? [] : [own]), ...Object.values(value).flatMap(namesIn)];
}

/** The same with each reference to a definition as one to a component. */
function pointed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(pointed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === "$ref" && typeof inner === "string" ? inner.replace(local, component) : pointed(inner),
    ]),
  );
}

/** What a reference leads to; any other schema as it is. What stands beside a reference, such as a description, wins. */
export function resolved(schema: JsonSchema, named: Record<string, JsonSchema>): JsonSchema {
  const { $ref, ...beside } = schema;
  if (typeof $ref !== "string") return schema;
  return { ...resolved(named[$ref.slice(component.length)] ?? {}, named), ...beside };
}

/** The name that a reference has; null when it is none. */
export const nameOf = (schema: JsonSchema): string | null =>
  typeof schema.$ref === "string" ? schema.$ref.slice(component.length) : null;
