import { createHmac, randomBytes } from "node:crypto";

/** What the text form of a signing secret begins with. Source: Standard Webhooks. */
const secretPrefix = "whsec_";

/** A new signing secret: 32 random bytes as Standard Webhooks writes them. */
export function createSigningSecret(): string {
  return secretPrefix + randomBytes(32).toString("base64");
}

/**
 * The value of `webhook-signature`: HMAC-SHA256 of `id.timestamp.body`, one signature per secret.
 *
 * @param timestamp seconds since 1970, as sent in `webhook-timestamp`.
 */
export function sign(secrets: readonly string[], webhookId: string, timestamp: number, body: string): string {
  return secrets
    .map((secret) => {
      const key = Buffer.from(secret.slice(secretPrefix.length), "base64");
      return `v1,${createHmac("sha256", key).update(`${webhookId}.${timestamp}.${body}`).digest("base64")}`;
    })
    .join(" ");
}
