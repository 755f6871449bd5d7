import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Io } from "../io.ts";
import { givenSecret, newSecret, secretOption } from "./signature.ts";

/** The secret that a command signs with, and what to tell of it. */
export interface SigningSecret {
  readonly secret: string;
  /** A sentence for people; null: it was given, so they know it. */
  readonly told: string | null;
}

const fileName = "cli-signing-secret";

/**
 * The secret of the option or of SENDOFF_SIGNING_SECRET, else one of this command's own, which is kept beside start.json
 * so that a receiver needs to be told it once. The agent's own secret cannot be read: the API shows it once (ADR 0023).
 *
 * @param folder where a relative data folder is looked for. Default: the working directory.
 */
export function signingSecret(
  option: string | undefined,
  env: Io["env"],
  folder = process.cwd(),
): SigningSecret {
  const given = givenSecret(option, env);
  if (given !== null) return { secret: given, told: null };
  const path = resolve(folder, env.SENDOFF_DATA ?? ".sendoff", fileName);
  const kept = keptSecret(path);
  if (kept !== null) return { secret: kept, told: `Signed with ${kept} (kept in ${path}).` };
  const secret = newSecret();
  const where = keep(path, secret) ? `kept in ${path}` : "for this run alone";
  return { secret, told: `Signed with ${secret} (${where}).` };
}

function keptSecret(path: string): string | null {
  try {
    return secretOption(readFileSync(path, "utf8").trim());
  } catch {
    // None was kept, or it is of no use: a new one is.
    return null;
  }
}

function keep(path: string, secret: string): boolean {
  try {
    mkdirSync(join(path, ".."), { recursive: true, mode: 0o700 });
    writeFileSync(path, `${secret}\n`, { mode: 0o600 });
    return true;
  } catch {
    return false;
  }
}
