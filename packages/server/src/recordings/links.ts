import { createHmac, timingSafeEqual } from "node:crypto";
import type { Clock } from "../clock.ts";

/** Short-lived links to a call's audio (behaviour, section 8). */
export interface RecordingLinks {
  /** A link that is valid from now on. `shownUrl` is the same without what makes it work, for logs. */
  mint(objectKey: string): Promise<{ readonly url: string; readonly shownUrl: string }>;
  /** Why a link does not work, or null when it does. */
  refuse(objectKey: string, expires: string, signature: string): "expired" | "changed" | null;
}

/** How long a link works, in milliseconds. Source: seed, "valid for ~15 minutes". */
const linkLifeMs = 15 * 60 * 1_000;

/**
 * @param publicUrl tells where this installation is reached, without a slash at the end.
 * @param oldSecretKeys keys of before a rotation: links that were signed with them work until they expire.
 */
export function createRecordingLinks(
  publicUrl: () => Promise<string>,
  secretKey: Buffer,
  clock: Clock,
  oldSecretKeys: readonly Buffer[] = [],
): RecordingLinks {
  const linkKey = linkKeyOf(secretKey);
  const linkKeys = [linkKey, ...oldSecretKeys.map(linkKeyOf)];
  return {
    async mint(objectKey) {
      const path = objectKey.split("/").map(encodeURIComponent).join("/");
      const shownUrl = `${await publicUrl()}/recordings/${path}`;
      const expires = String(Math.floor((clock.wallMs() + linkLifeMs) / 1_000));
      return {
        url: `${shownUrl}?expires=${expires}&signature=${signatureOf(linkKey, objectKey, expires)}`,
        shownUrl,
      };
    },
    refuse(objectKey, expires, signature) {
      const given = Buffer.from(signature);
      const fits = linkKeys.some((key) => {
        const expected = Buffer.from(signatureOf(key, objectKey, expires));
        return expected.length === given.length && timingSafeEqual(expected, given);
      });
      if (!fits) return "changed";
      return Number(expires) * 1_000 < clock.wallMs() ? "expired" : null;
    },
  };
}

/** A key of its own for this one use, derived from the installation's. */
const linkKeyOf = (secretKey: Buffer): Buffer =>
  createHmac("sha256", secretKey).update("sendoff recording links").digest();

const signatureOf = (linkKey: Buffer, objectKey: string, expires: string): string =>
  createHmac("sha256", linkKey).update(`${expires}\n${objectKey}`).digest("base64url");

/** Whether an object's key lies under a project's own prefix and cannot lead elsewhere. */
export function isKeyOfProject(objectKey: string, projectId: string): boolean {
  const parts = objectKey.split("/");
  return (
    parts.length >= 3 &&
    parts[0] === "projects" &&
    parts[1] === projectId &&
    parts.slice(2).every((part) => /^[A-Za-z0-9._:=-]+$/.test(part) && part !== "." && part !== "..")
  );
}
