import { createHmac, randomBytes } from "node:crypto";
import { InvalidArgumentError } from "commander";
import { CommandFailure, type Io } from "../io.ts";

/** What the text form of a signing secret begins with. Source: Standard Webhooks. */
const prefix = "whsec_";
const bytesMin = 24;
const bytesMax = 64;

/** A new signing secret, as Sendoff makes them: 32 random bytes. */
export const newSecret = (): string => prefix + randomBytes(32).toString("base64");

/** Reads a secret of an option. @throws {InvalidArgumentError} */
export function secretOption(value: string): string {
  const key = Buffer.from(value.slice(prefix.length), "base64");
  const isSecret = value.startsWith(prefix) && key.length >= bytesMin && key.length <= bytesMax;
  // The secret itself is not repeated: what a terminal shows may be recorded.
  if (isSecret) return value;
  throw new InvalidArgumentError(
    `Expected whsec_ and ${bytesMin} to ${bytesMax} bytes in base64, as Sendoff answers it when a webhook is made.`,
  );
}

/** The secret of the option, else of SENDOFF_SIGNING_SECRET, else null. @throws {CommandFailure} */
export function givenSecret(option: string | undefined, env: Io["env"]): string | null {
  if (option !== undefined) return option;
  if (env.SENDOFF_SIGNING_SECRET === undefined) return null;
  try {
    return secretOption(env.SENDOFF_SIGNING_SECRET);
  } catch (error) {
    throw new CommandFailure(`SENDOFF_SIGNING_SECRET is wrong. ${(error as Error).message}`);
  }
}

/**
 * The value of `webhook-signature`: HMAC-SHA256 of `id.timestamp.body`, one signature per secret.
 *
 * @param timestamp seconds since 1970, as sent in `webhook-timestamp`.
 */
export function signatureOf(
  secrets: readonly string[],
  webhookId: string,
  timestamp: number,
  body: string,
): string {
  return secrets
    .map((secret) => {
      const key = Buffer.from(secret.slice(prefix.length), "base64");
      return `v1,${createHmac("sha256", key).update(`${webhookId}.${timestamp}.${body}`).digest("base64")}`;
    })
    .join(" ");
}
