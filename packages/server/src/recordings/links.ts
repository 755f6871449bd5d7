import { createHmac, timingSafeEqual } from "node:crypto";
import { isSampleKey } from "./sample.ts";
import type { RecordingStore, SignedLink } from "./store.ts";

/** Short-lived links to a call's audio (behaviour, section 8). */
export interface RecordingLinks {
  /** How long a link works, in milliseconds. */
  readonly lifeMs: number;
  /** A link that works from now on. */
  mint(objectKey: string): Promise<SignedLink>;
  /** Why a link of Sendoff's own does not work, or null when it does. */
  refuse(objectKey: string, expires: string, signature: string): Promise<"expired" | "changed" | null>;
}

export interface LinkParts {
  /** Tells where this installation is reached, without a slash at the end. */
  readonly publicUrl: () => Promise<string>;
  readonly secretKey: Buffer;
  /** Keys of before a rotation: links that were signed with them work until they expire. */
  readonly oldSecretKeys: readonly Buffer[];
  readonly store: Pick<RecordingStore, "sign">;
  /** The database's clock, in milliseconds since 1970: the clocks of those who mint and of those who check may differ. */
  readonly now: () => Promise<number>;
  /** SENDOFF_RECORDING_LINK_LIFE. */
  readonly lifeMs: number;
}

export function createRecordingLinks(parts: LinkParts): RecordingLinks {
  const { publicUrl, now, store, lifeMs } = parts;
  const linkKey = linkKeyOf(parts.secretKey);
  const linkKeys = [linkKey, ...parts.oldSecretKeys.map(linkKeyOf)];
  return {
    lifeMs,
    async mint(objectKey) {
      const begins = await now();
      // The audio of test events is in no store.
      const signed = isSampleKey(objectKey) ? null : await store.sign(objectKey, begins, lifeMs);
      if (signed !== null) return signed;
      const path = objectKey.split("/").map(encodeURIComponent).join("/");
      const shownUrl = `${await publicUrl()}/recordings/${path}`;
      const expires = Math.floor((begins + lifeMs) / 1_000);
      return {
        url: `${shownUrl}?expires=${expires}&signature=${signatureOf(linkKey, objectKey, String(expires))}`,
        shownUrl,
        expiresMs: expires * 1_000,
      };
    },
    async refuse(objectKey, expires, signature) {
      const given = Buffer.from(signature);
      const fits = linkKeys.some((key) => {
        const expected = Buffer.from(signatureOf(key, objectKey, expires));
        return expected.length === given.length && timingSafeEqual(expected, given);
      });
      if (!fits) return "changed";
      return Number(expires) * 1_000 < (await now()) ? "expired" : null;
    },
  };
}

/** A key of its own for this one use, derived from the installation's. */
const linkKeyOf = (secretKey: Buffer): Buffer =>
  createHmac("sha256", secretKey).update("sendoff recording links").digest();

const signatureOf = (linkKey: Buffer, objectKey: string, expires: string): string =>
  createHmac("sha256", linkKey).update(`${expires}\n${objectKey}`).digest("base64url");
