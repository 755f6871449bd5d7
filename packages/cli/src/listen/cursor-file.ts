import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { CommandFailure } from "../io.ts";

/** Where a cursor is kept between two runs. */
export interface CursorFile {
  /** null: none was kept yet. */
  readonly cursor: string | null;
  keep(cursor: string): void;
}

/** Reads the file of `--cursor`. Without a path nothing is kept. @throws {CommandFailure} */
export function openCursorFile(path: string | undefined): CursorFile {
  if (path === undefined) return { cursor: null, keep() {} };
  const failed = (what: string, error: unknown): CommandFailure =>
    new CommandFailure(
      `The cursor file ${path} cannot be ${what} (${(error as NodeJS.ErrnoException).code}).`,
    );
  const read = (): string | null => {
    try {
      return readFileSync(path, "utf8").trim() || null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw failed("read", error);
    }
  };
  return {
    cursor: read(),
    keep(cursor) {
      try {
        // Renamed into its place: a process that is killed here leaves the one before, never half of one.
        writeFileSync(`${path}.new`, `${cursor}\n`);
        renameSync(`${path}.new`, path);
      } catch (error) {
        throw failed("written", error);
      }
    },
  };
}
