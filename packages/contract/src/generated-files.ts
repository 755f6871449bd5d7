import { goldenExamples } from "./golden.ts";
import { jsonSchema, publishedSchemas } from "./schemas.ts";

/** Every generated file of this package and its content, by its path in the package. */
export function generatedFiles(): Record<string, string> {
  const files: Record<string, string> = {};
  for (const name of Object.keys(publishedSchemas)) {
    files[`schemas/${name}.json`] = `${JSON.stringify(jsonSchema(name), null, 2)}\n`;
  }
  // No line break at the end: the file is the body, byte for byte.
  for (const [name, body] of Object.entries(goldenExamples())) files[`golden/${name}.json`] = body;
  return files;
}
