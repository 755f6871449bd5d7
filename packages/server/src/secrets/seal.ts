import { createHash, randomBytes } from "node:crypto";
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from "jose";
import { LRUCache } from "lru-cache";

/** Encrypts what must not stand in a table in clear: header values and signing secrets (behaviour, section 7). */
export interface Sealer {
  /** Which key it seals with; safe to show. */
  readonly keyId: string;
  /** @param place where the value will stand, such as `endpoint:<id>:secret`; it opens only for that place. */
  seal(place: string, text: string): Promise<string>;
  /** @throws Error when it was sealed with another key, for another place, or was changed. */
  open(place: string, sealed: string): Promise<string>;
}

const keyBytes = 32;
/** Opened values that are kept: each attempt needs two, and opening costs more than signing. */
const openedMax = 5_000;

/** A new SENDOFF_SECRET_KEY: 32 random bytes in base64. */
export function createSecretKey(): string {
  return randomBytes(keyBytes).toString("base64");
}

/** The bytes of a SENDOFF_SECRET_KEY, or null when it is not 32 bytes in base64. */
export function parseSecretKey(text: string): Buffer | null {
  const key = Buffer.from(text, "base64");
  return key.length === keyBytes && /^[A-Za-z0-9+/_-]+={0,2}$/.test(text) ? key : null;
}

/** Seals as JWE (`dir`, A256GCM). The place is in the protected header, so it is authenticated with the text. */
export function createSealer(key: Buffer): Sealer {
  const keyId = createHash("sha256").update("sendoff key id").update(key).digest("hex").slice(0, 16);
  const opened = new LRUCache<string, string>({ max: openedMax });
  return {
    keyId,
    seal: (place, text) =>
      new CompactEncrypt(new TextEncoder().encode(text))
        .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: keyId, place })
        .encrypt(key),
    async open(place, sealed) {
      const known = opened.get(`${place} ${sealed}`);
      if (known !== undefined) return known;
      const header = decodeProtectedHeader(sealed);
      if (header.kid !== keyId) {
        throw new Error(
          `A sealed value of ${place} needs the key ${header.kid}, and SENDOFF_SECRET_KEY is ${keyId}. Start with the key of the first start.`,
        );
      }
      const { plaintext, protectedHeader } = await compactDecrypt(sealed, key, {
        keyManagementAlgorithms: ["dir"],
        contentEncryptionAlgorithms: ["A256GCM"],
      });
      if (protectedHeader.place !== place)
        throw new Error(`A sealed value of ${place} was sealed for another place.`);
      const text = new TextDecoder().decode(plaintext);
      opened.set(`${place} ${sealed}`, text);
      return text;
    },
  };
}
