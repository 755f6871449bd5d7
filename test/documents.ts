// Runs the blocks of a document as a reader would: bash blocks in one terminal, those that keep running in others, files
// saved under their names, and the output held against what the document shows.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { until } from "./until.ts";

/** A fenced block of a Markdown file. */
export interface Block {
  readonly language: string;
  readonly text: string;
  /** Why it is not run; null: it is. `<!-- not run: reason -->` before it. */
  readonly notRun: string | null;
  /** It runs in a terminal of its own, and has begun when it prints this. `<!-- keeps running, from: text -->`. */
  readonly readyWhen: string | null;
  /** It is saved under this name. `<!-- file: name -->`. */
  readonly file: string | null;
}

export function blocksOf(markdown: string): Block[] {
  const pattern = /(?:<!-- (not run|keeps running, from|file): ([^\n]+) -->\n)?```(\w*)\n([\s\S]*?)\n```/g;
  return [...markdown.matchAll(pattern)].map(([, marker, value = "", language = "", text = ""]) => ({
    language,
    text,
    notRun: marker === "not run" ? value : null,
    readyWhen: marker === "keeps running, from" ? value : null,
    file: marker === "file" ? value : null,
  }));
}

/** The output that a block claims: the text block that follows it. */
export function claimOf(blocks: readonly Block[], block: Block): string[] {
  const next = blocks[blocks.indexOf(block) + 1];
  return next?.language === "text" ? next.text.split("\n").filter((line) => line !== "") : [];
}

/** A line without what differs from run to run. */
export function masked(line: string): string {
  const counted = /^ {2}(reports|latency|duration) /.test(line) ? line.replace(/\d[\d.,]*/g, "N") : line;
  return counted
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "UUID")
    .replace(/msg_[0-9a-f]{32}/g, "msg_ID")
    .replace(/whsec_[\w+/=]+(\.\.\.)?/g, "whsec_SECRET")
    .replace(/\b[sd]k_[\w-]+(\.\.\.)?/g, "KEY")
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "MOMENT")
    .replace(/^\d\d:\d\d:\d\d(\.\d{3})?/, "TIME")
    .replace(/(demo-[a-z-]+)\.\w+/, "$1")
    .replace(/\b(trigger|check)-[0-9a-f]{8}(-\d+)?/g, "$1-ID")
    .replace(/…\w{8}$/, "…ID")
    .replace(/https?:\/\/127\.0\.0\.1:\d+\/inspect\/[\w-]+/g, "INSPECTOR")
    .replace(/(http:\/\/[\w.]+):\d+/g, "$1:PORT")
    .replace(/"id":"\d+"/g, '"id":"ID"')
    .replace(/"durationMs":[\d.]+/g, '"durationMs":N')
    .replace(/\b\d[\d,]* (ms|POSTs)\b/g, "N $1")
    .replace(/ +/g, " ")
    .trimEnd();
}

/** Where and how a document is run. */
export interface Reader {
  /** The working directory. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Texts that are other ones here: a document names ports that may be in use on this machine. */
  readonly replace?: readonly (readonly [string, string])[];
}

/** What ran, for a test to look at. */
export interface Ran {
  /** All that was printed, by every terminal. */
  readonly output: string;
  /** Those that were run, with when they began and when what they claim had been printed, in ms. */
  readonly blocks: readonly { readonly text: string; readonly begunMs: number; readonly doneMs: number }[];
}

const languages = new Set(["bash", "text", "js", "ts", "json", "http", "sql", "ini", "yaml"]);

/** Runs a document from its first block to its last. */
export async function runDocument(path: string, reader: Reader): Promise<Ran> {
  const blocks = blocksOf(readFileSync(path, "utf8"));
  const terminals = new Terminals(reader);
  const ran: Ran["blocks"][number][] = [];
  try {
    for (const [index, block] of blocks.entries()) {
      expect(languages, `${path}: the language of\n${block.text}`).toContain(block.language);
      if (block.notRun !== null) continue;
      const text = replaced(block.text, reader);
      const begunMs = performance.now();
      if (block.file !== null) {
        const at = join(reader.folder, block.file);
        mkdirSync(dirname(at), { recursive: true });
        writeFileSync(at, `${text}\n`);
      } else if (block.language === "bash") {
        if (block.readyWhen === null) await terminals.type(text);
        else await terminals.open(text, replaced(block.readyWhen, reader));
      } else if (block.language === "json") JSON.parse(text);
      else if (block.language === "text") {
        expect(blocks[index - 1]?.language, `${path}: a text block shows what a bash block printed`).toBe(
          "bash",
        );
      } else
        throw new Error(`${path}: nothing runs this ${block.language} block; name its file\n${block.text}`);
      if (block.language === "bash") await terminals.shows(claimOf(blocks, block), block.text);
      ran.push({ text: block.text, begunMs, doneMs: performance.now() });
    }
    return { output: terminals.output, blocks: ran };
  } finally {
    await terminals.close();
  }
}

const replaced = (text: string, { replace = [] }: Reader): string =>
  replace.reduce((result, [from, to]) => result.replaceAll(from, to), text);

class Terminals {
  output = "";
  readonly #reader: Reader;
  readonly #shell: ChildProcess;
  readonly #others: ChildProcess[] = [];
  #count = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
    this.#shell = this.#spawn(["-s"]);
    this.#shell.stdin?.write("set -euo pipefail\n");
  }

  /** Types commands and waits for their end. */
  async type(text: string): Promise<void> {
    this.#count += 1;
    const mark = `@@ block ${this.#count} done @@`;
    // In braces: bash reads all of it before it runs the first command, and no command can read the next one as its input.
    this.#shell.stdin?.write(`{\n${text}\n} < /dev/null\nprintf '\\n%s\\n' '${mark}'\n`);
    await until(
      `this block ends:\n${text}`,
      () => {
        if (this.#shell.exitCode !== null) throw new Error(`A block failed.\n${text}\n${this.output}`);
        return this.output.includes(mark);
      },
      120_000,
    );
  }

  /** Runs commands in a terminal of their own, until they print a text. */
  async open(text: string, ready: string): Promise<void> {
    const from = this.output.length;
    const other = this.#spawn(["-c", text]);
    this.#others.push(other);
    await until(
      `this block prints "${ready}":\n${text}`,
      () => {
        if (other.exitCode !== null) throw new Error(`A block ended.\n${text}\n${this.output.slice(from)}`);
        return this.output.slice(from).includes(ready);
      },
      120_000,
    );
  }

  /** Waits until every line of a claim was printed, by whichever terminal. */
  async shows(claim: readonly string[], text: string): Promise<void> {
    const missing = (): string[] => {
      const printed = new Set(this.output.split("\n").map(masked));
      return claim.filter((line) => !printed.has(masked(replaced(line, this.#reader))));
    };
    await until("it is printed", () => missing().length === 0, 20_000).catch(() => {
      throw new Error(`${text}\nshould print\n${missing().join("\n")}\nprinted was\n${this.output}`);
    });
  }

  async close(): Promise<void> {
    for (const child of [...this.#others.toReversed(), this.#shell]) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      const ended = once(child, "close");
      const timer = setTimeout(() => process.kill(-(child.pid ?? 0), "SIGKILL"), 20_000);
      process.kill(-child.pid, "SIGTERM");
      await ended;
      clearTimeout(timer);
    }
  }

  #spawn(args: readonly string[]): ChildProcess {
    const child = spawn("bash", args, {
      cwd: this.#reader.folder,
      env: { ...process.env, ...this.#reader.env },
      stdio: ["pipe", "pipe", "pipe"],
      // A group of its own, so that its end is the end of all that it started.
      detached: true,
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
    }
    return child;
  }
}
