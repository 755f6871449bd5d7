import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { hasRecording, type Payloads } from "./payloads.ts";
import { begin, type Download } from "./recordings/download.ts";
import { DownloadFailed, type RecordingReason } from "./recordings/failure.ts";
import { checkLink, expiryOf } from "./recordings/link.ts";
import { type Resolve, resolveBySystem } from "./recordings/request.ts";

export type { RecordingReason, Resolve };

/** Where a recording is to go: a folder, or a function that reads it as it comes. */
export type RecordingTarget =
  | {
      /** It is made if it is not there. The file has a digest for a name, and appears when it is whole. */
      readonly folder: string;
    }
  | ((audio: AsyncIterable<Uint8Array>, recording: RecordingInfo) => Promise<unknown>);

export interface RecordingInfo {
  /** A name that is safe as a file name or an object key: a digest and an extension. Never the session's id. */
  readonly name: string;
  readonly contentType: string;
  /** In bytes; null when the host did not say. */
  readonly length: number | null;
}

export interface SaveRecordingOptions {
  /** The hosts that recordings may come from, as in a URL: `recordings.example.com`, `*.example.com`. There is no default. */
  readonly hosts: readonly string[];
  /** When the event arrived: `context.receivedAt`. Now by default. */
  readonly receivedAt?: Date;
  /** How long links live when they do not say it themselves, in ms. 15 min by default. */
  readonly lifeMs?: number;
  /** How long before the link dies no more requests are made, in ms. 1 s by default. */
  readonly marginMs?: number;
  /** How long a download that is running may go on after that, in ms. None by default. */
  readonly overtimeMs?: number;
  /** Longest recording, in bytes. 2 GiB by default. */
  readonly bytesMax?: number;
  /** How long the host may be silent before the download is taken up anew, in ms. 10 s by default. */
  readonly idleMs?: number;
  /** Ends the download: `context.signal`. */
  readonly signal?: AbortSignal;
  /** True: takes `http:` links and hosts with addresses that are not public. For development alone. */
  readonly development?: boolean;
  /** Certificates to trust instead of the system's, in PEM. */
  readonly ca?: string;
  /** Finds the addresses of a name. The system's resolver by default. */
  readonly resolve?: Resolve;
}

/** What became of a recording. It is never half saved. */
export type RecordingResult =
  | {
      readonly saved: true;
      /** The file; null when it went to a function. */
      readonly path: string | null;
      readonly bytes: number;
      readonly contentType: string;
      /** In hex. */
      readonly sha256: string;
    }
  | {
      readonly saved: false;
      readonly reason: RecordingReason;
      /** For a log: it has no link in it. */
      readonly message: string;
    };

const defaults = {
  lifeMs: 900_000,
  marginMs: 1_000,
  overtimeMs: 0,
  bytesMax: 2 * 2 ** 30,
  idleMs: 10_000,
};

/**
 * Saves the recording of a `recording.ready`. It begins at once, streams, goes on where it broke off, and ends before the
 * link dies. It never throws: what became of it is the answer.
 */
export async function saveRecording(
  event: Payloads["recording.ready"],
  target: RecordingTarget,
  options: SaveRecordingOptions,
): Promise<RecordingResult> {
  const settings = { ...defaults, ...options };
  if (!hasRecording(event)) {
    return { saved: false, reason: "no_recording", message: "the event says that there is no recording" };
  }
  const ends = new AbortController();
  const abort = (): void => ends.abort(new DownloadFailed("aborted", "the signal was aborted"));
  let timer: NodeJS.Timeout | undefined;
  try {
    if (options.signal?.aborted) abort();
    options.signal?.addEventListener("abort", abort);
    const { hosts, development = false, ca, resolve = resolveBySystem } = options;
    const url = checkLink(event.recordingUrl, { hosts, development });
    const receivedMs = options.receivedAt?.getTime() ?? Date.now();
    const beginUntilMs = expiryOf(url, receivedMs, settings.lifeMs) - settings.marginMs;
    const { idleMs, bytesMax } = settings;
    const leftMs = beginUntilMs + settings.overtimeMs - Date.now();
    // A link that is dead by this machine's clock is tried once all the same: the clock may be wrong.
    timer = setTimeout(
      () => ends.abort(new DownloadFailed("too_late", "it was not finished before the link dies")),
      Math.min(leftMs > 0 ? leftMs : idleMs, 2_147_483_647),
    );
    const download = await begin(event.recordingUrl, {
      ...{ hosts, development, ca, resolve, idleMs, bytesMax, beginUntilMs },
      ...{ signal: ends.signal, nowMs: Date.now },
    });
    const path = await save(download, nameOf(event, download.contentType), target);
    return { saved: true, path, contentType: download.contentType, ...download.digest() };
  } catch (error) {
    const reason = ends.signal.aborted ? ends.signal.reason : error;
    return reason instanceof DownloadFailed
      ? { saved: false, reason: reason.reason, message: reason.message }
      : { saved: false, reason: "target_failed", message: (reason as Error).message };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", abort);
    ends.abort();
  }
}

async function save(download: Download, name: string, target: RecordingTarget): Promise<string | null> {
  const { audio, contentType, length } = download;
  if (typeof target === "function") {
    await target(audio, { name, contentType, length });
    download.digest();
    return null;
  }
  await mkdir(target.folder, { recursive: true });
  const path = join(target.folder, name);
  const beside = join(target.folder, `.${name}.${randomBytes(6).toString("hex")}.part`);
  try {
    const file = await open(beside, "wx", 0o600);
    try {
      for await (const chunk of audio) await file.writeFile(chunk);
      download.digest();
      // What is renamed must be on the disk, or a crash of the machine would leave an empty file under the good name.
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  return path;
}

const extensions: Readonly<Record<string, string>> = {
  "audio/ogg": "ogg",
  "application/ogg": "ogg",
  "audio/opus": "opus",
  "audio/mpeg": "mp3",
  "audio/mp4": "m4a",
  "audio/wav": "wav",
  "audio/x-wav": "wav",
  "audio/webm": "webm",
  "audio/flac": "flac",
};

const known: ReadonlySet<string> = new Set(Object.values(extensions));

/** A session's id comes from a stranger and never becomes a path; its digest is the same each time. */
function nameOf(event: Payloads["recording.ready"], contentType: string): string {
  const {
    projectId,
    sessionId,
    recordingUrl = "",
    recordingId = "",
  } = event as typeof event & {
    recordingId?: unknown;
  };
  const digest = createHash("sha256")
    .update(JSON.stringify([projectId, sessionId, recordingId]))
    .digest("hex");
  // A host that does not know the type may still have kept the name's end.
  const end = /\.(\w{1,5})$/.exec(new URL(recordingUrl).pathname)?.[1]?.toLowerCase() ?? "";
  return `${digest}.${extensions[contentType] ?? (known.has(end) ? end : "bin")}`;
}
