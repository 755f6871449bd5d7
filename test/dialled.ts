// No test and no process of a test may dial an address outside of this machine: what the guard lets through by mistake
// would show here, whichever test it was.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

export default async function setup(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "sendoff-test-dialled-"));
  process.env.TEST_DIALLED_FOLDER = folder;
  return async () => {
    let loopback = 0;
    const forbidden: string[] = [];
    const names = await readdir(folder);
    for (const name of names) {
      for (const line of (await readFile(join(folder, name), "utf8")).split("\n")) {
        const [kind, what = ""] = line.split(" ");
        if (kind === "loopback") loopback += Number(what);
        if (kind === "forbidden") forbidden.push(what);
      }
    }
    await rm(folder, { recursive: true });
    console.log(
      `Dialled by ${names.length} processes: ${loopback} connections on this machine (those of a killed process to the last ten), ${forbidden.length} to other addresses.`,
    );
    if (forbidden.length > 0) {
      // Vitest prints what a teardown throws, and goes on as if nothing were wrong.
      process.exitCode = 1;
      throw new Error(
        `addresses outside of this machine were dialled: ${[...new Set(forbidden)].join(", ")}`,
      );
    }
  };
}
