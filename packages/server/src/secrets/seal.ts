import { createHash, randomBytes } from "node:crypto";
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader } from "jose";
import { LRUCache } from "lru-cache";

/** Encrypts what must not stand in a table in clear: header values and signing secrets (behaviour, section 7). */
export interface Sealer {
  /** Which key it seals with; safe to show. */
  readonly keyId: string;
  /** Every key that it opens with, the one that it seals with first. */
  readonly keyIds: readonly string[];
  /** @param place where the value will stand, such as `endpoint:<id>:secret`; it opens only for that place. */
  seal(place: string, text: string): Promise<string>;
  /** @throws Error when it was sealed with a key that is not at hand, for another place, or was changed. */
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

/** The id of a key: a hash from which the key cannot be found. */
export function keyIdOf(key: Buffer): string {
  return createHash("sha256").update("sendoff key id").update(key).digest("hex").slice(0, 16);
}

/** What a sealed value says of itself: the key that it needs and the place that it is for. Not checked yet. */
export function sealedWith(sealed: string): { readonly keyId: string; readonly place: string } {
  const { kid, place } = decodeProtectedHeader(sealed);
  return { keyId: String(kid), place: String(place) };
}

/**
 * Seals as JWE (`dir`, A256GCM). The place is in the protected header, so it is authenticated with the text.
 *
 * @param oldKeys further keys, which open and never seal: those of before a rotation.
 */
export function createSealer(key: Buffer, oldKeys: readonly Buffer[] = []): Sealer {
  const keyId = keyIdOf(key);
  const keys = new Map([key, ...oldKeys].map((each) => [keyIdOf(each), each]));
  const opened = new LRUCache<string, string>({ max: openedMax });
  return {
    keyId,
    keyIds: [...keys.keys()],
    seal: (place, text) =>
      new CompactEncrypt(new TextEncoder().encode(text))
        .setProtectedHeader({ alg: "dir", enc: "A256GCM", kid: keyId, place })
        .encrypt(key),
    async open(place, sealed) {
      const known = opened.get(`${place} ${sealed}`);
      if (known !== undefined) return known;
      const needed = sealedWith(sealed).keyId;
      const opener = keys.get(needed);
      if (opener === undefined) {
        throw new Error(
          `A sealed value of ${place} needs the key ${needed}, and at hand is ${[...keys.keys()].join(", ")}. Start with that key in SENDOFF_SECRET_KEY or SENDOFF_SECRET_KEYS_OLD.`,
        );
      }
      const { plaintext, protectedHeader } = await compactDecrypt(sealed, opener, {
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
