/** What bounds uploads, of each project and in all. */
export interface UploadLimits {
  /** SENDOFF_UPLOAD_BYTES_MAX: most bytes of one recording. */
  readonly bytesMax: number;
  /** SENDOFF_UPLOAD_TIME_MAX: how long one may take in all. */
  readonly timeMaxMs: number;
  /** SENDOFF_UPLOAD_RATE: bytes a second that one brings at least, and that a project's bring at most in one process. */
  readonly rate: UploadRate;
  /** SENDOFF_PROJECT_UPLOADS_MAX: most uploads of one project at a time in one process. */
  readonly projectMax: number;
  /** SENDOFF_PROJECT_RECORDINGS_MAX: bytes that all uploads of one project hold, stored and under way. */
  readonly projectBytesMax: number;
}

export interface UploadRate {
  readonly least: number;
  readonly most: number;
}

const units: Readonly<Record<string, number>> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** Reads a size such as `500MiB`; null when it is none, or 0. */
export function parseBytes(text: string): number | null {
  const [, number, unit] = /^(\d{1,9})(KiB|MiB|GiB|TiB)$/.exec(text) ?? [];
  const bytes = Number(number) * (units[unit ?? ""] ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
}

/** Reads `least:most`; null when it is not that, or the other way round. */
export function parseUploadRate(text: string): UploadRate | null {
  const [least = null, most = null, ...more] = text.split(":").map(parseBytes);
  return least === null || most === null || more.length > 0 || least > most ? null : { least, most };
}

/** A size as the settings have it, for people. */
export function bytesText(bytes: number): string {
  const unit = ["TiB", "GiB", "MiB", "KiB"].find((one) => bytes >= (units[one] as number));
  return unit === undefined
    ? `${bytes} bytes`
    : `${Math.round((bytes / (units[unit] as number)) * 10) / 10} ${unit}`;
}
