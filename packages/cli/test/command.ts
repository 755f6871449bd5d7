import { main } from "../src/main.ts";

/** Runs the command line in this process and keeps what it wrote. */
export async function run(args: readonly string[], env: Record<string, string> = {}) {
  const written = { out: "", err: "" };
  const status = await main(args, {
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
    env: { SENDOFF_DATA: "/nonexistent", ...env },
  });
  return { status, ...written };
}
