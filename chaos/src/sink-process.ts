import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { followJournal } from "./journal.ts";
import { type SinkEntry, SinkView } from "./sink-log.ts";

/** The sink as the rig sees it. */
export interface Sink {
  readonly port: number;
  /** What its log says, as of this call. */
  view(): SinkView;
  end(): void;
}

export async function startSink(seed: string, logPath: string): Promise<Sink> {
  const script = fileURLToPath(new URL("./sink.js", import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, seed, logPath], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  const journal = followJournal<SinkEntry>(logPath);
  const view = new SinkView();
  return {
    port: Number(line.toString().trim()),
    view() {
      view.add(journal.read());
      return view;
    },
    end: () => void child.kill("SIGKILL"),
  };
}
