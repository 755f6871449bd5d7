// Writes the JSON Schemas and the golden examples from the schemas and the payload builder. The results are committed,
// so that a change of what crosses the wire shows in a diff; a test compares them.
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { generatedFiles } from "../dist/generated-files.js";

const root = new URL("../", import.meta.url);
for (const folder of ["schemas/", "golden/"]) {
  await mkdir(new URL(folder, root), { recursive: true });
  for (const name of await readdir(new URL(folder, root))) await rm(new URL(folder + name, root));
}
const files = Object.entries(generatedFiles());
for (const [path, content] of files) await writeFile(new URL(path, root), content);
console.log(`wrote ${files.length} files`);
