import { closeSync, openSync, readSync, writeSync } from "node:fs";

/**
 * Appends one line of JSON per entry, each by one synchronous write: what was written survives the writer's death. What
 * is written after close() is dropped: processes end a moment after the run.
 */
export interface Journal<Entry> {
  write(entry: Entry): void;
  close(): void;
}

export function openJournal<Entry>(path: string): Journal<Entry> {
  const file = openSync(path, "a");
  let open = true;
  return {
    write(entry) {
      if (open) writeSync(file, `${JSON.stringify(entry)}\n`);
    },
    close() {
      open = false;
      closeSync(file);
    },
  };
}

/** Reads a journal that another process is writing: each call answers the entries that were added since the last. */
export function followJournal<Entry>(path: string): { read(): Entry[]; close(): void } {
  const file = openSync(path, "a+");
  const chunk = Buffer.alloc(256 * 1024);
  let offset = 0;
  let rest = Buffer.alloc(0);
  return {
    read() {
      const entries: Entry[] = [];
      for (;;) {
        const bytes = readSync(file, chunk, 0, chunk.length, offset);
        if (bytes === 0) return entries;
        offset += bytes;
        const all = Buffer.concat([rest, chunk.subarray(0, bytes)]);
        const end = all.lastIndexOf(10);
        rest = Buffer.from(all.subarray(end + 1));
        for (const line of all.toString("utf8", 0, Math.max(end, 0)).split("\n")) {
          if (line !== "") entries.push(JSON.parse(line) as Entry);
        }
      }
    },
    close: () => closeSync(file),
  };
}
