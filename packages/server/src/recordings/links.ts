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

/** @param publicUrl tells where this installation is reached, without a slash at the end. */
export function createRecordingLinks(
  publicUrl: () => Promise<string>,
  secretKey: Buffer,
  clock: Clock,
): RecordingLinks {
  // A key of its own for this one use, derived from the installation's.
  const linkKey = createHmac("sha256", secretKey).update("sendoff recording links").digest();
  const signatureOf = (objectKey: string, expires: string): string =>
    createHmac("sha256", linkKey).update(`${expires}\n${objectKey}`).digest("base64url");
  return {
    async mint(objectKey) {
      const path = objectKey.split("/").map(encodeURIComponent).join("/");
      const shownUrl = `${await publicUrl()}/recordings/${path}`;
      const expires = String(Math.floor((clock.wallMs() + linkLifeMs) / 1_000));
      return { url: `${shownUrl}?expires=${expires}&signature=${signatureOf(objectKey, expires)}`, shownUrl };
    },
    refuse(objectKey, expires, signature) {
      const expected = Buffer.from(signatureOf(objectKey, expires));
      const given = Buffer.from(signature);
      if (expected.length !== given.length || !timingSafeEqual(expected, given)) return "changed";
      return Number(expires) * 1_000 < clock.wallMs() ? "expired" : null;
    },
  };
}

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
