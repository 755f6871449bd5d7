import { createHash, randomUUID } from "node:crypto";

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

/**
 * A key for an upload, which no other upload has: two of one session cannot meet in one object. Sessions lie in 65,536
 * folders by the hash of their ids, so that no folder of a disk grows with the number of sessions.
 */
export function newObjectKey(projectId: string, sessionId: string, extension: string): string {
  const hash = createHash("sha256").update(sessionId).digest("hex");
  return `projects/${projectId}/sessions/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${partOf(sessionId)}/${randomUUID()}.${extension}`;
}

/** A session's id as a part of a key. A colon is no part of a file's name everywhere, and dots alone lead elsewhere. */
const partOf = (sessionId: string): string =>
  sessionId.replaceAll(":", "=").replace(/^\.+$/, (dots) => "=".repeat(dots.length));

/** Key of the waveform, which lies beside its audio and goes with it. */
export const peaksKeyOf = (objectKey: string): string => `${objectKey}.peaks.json`;

/** Name for a downloaded file: the session's id, as far as the key tells it, with the audio's extension. */
export function fileNameOf(objectKey: string): string {
  const parts = objectKey.split("/");
  const last = parts.at(-1) ?? "audio";
  const extension = /\.[A-Za-z0-9]{1,5}$/.exec(last)?.[0] ?? "";
  const isUpload = parts[2] === "sessions" && parts.length === 7;
  return isUpload ? `${parts[5]}${extension}` : last;
}
