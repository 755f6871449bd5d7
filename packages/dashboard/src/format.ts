/** How numbers, moments and lengths are written on every page. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);
export const short = (value: number): string =>
  value < 10_000 ? oneDigit.format(value) : compact.format(value);
export const percent = (share: number): string =>
  // Not everything went well: it is never rounded up to 100.
  share < 1 && share > 0.9995 ? "99.9 %" : `${oneDigit.format(share * 100)} %`;

/** A length of time for people. `ms` is in milliseconds: "0.4 ms", "42 ms", "1.3 s", "1 min 18 s", "2 h 5 min", "3 d". */
export function length(ms: number): string {
  if (ms < 0) return `-${length(-ms)}`;
  if (ms < 10) return `${oneDigit.format(ms)} ms`;
  if (ms < 1_000) return `${whole.format(ms)} ms`;
  if (ms < 59_950) return `${oneDigit.format(ms / 1_000)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return parts([Math.floor(seconds / 60), "min"], [seconds % 60, "s"]);
  const minutes = Math.round(seconds / 60);
  if (minutes < 1_440) return parts([Math.floor(minutes / 60), "h"], [minutes % 60, "min"]);
  const hours = Math.round(minutes / 60);
  return parts([Math.floor(hours / 24), "d"], [hours % 24, "h"]);
}

/** Time since a beginning, fine enough to tell neighbours apart: "+20 ms", "+5.31 s", "+4:59.90", "+1:05:00". */
export function offset(ms: number): string {
  if (ms < 1_000) return `+${whole.format(ms)} ms`;
  if (ms < 60_000) return `+${(ms / 1_000).toFixed(2)} s`;
  const seconds = ms / 1_000;
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor((seconds % 3_600) / 60)];
  const rest = (seconds % 60).toFixed(hours > 0 ? 0 : 2).padStart(hours > 0 ? 2 : 5, "0");
  return hours > 0 ? `+${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `+${minutes}:${rest}`;
}

/** Seconds of a call, which has no finer parts. */
export const callLength = (seconds: number): string => (seconds === 0 ? "0 s" : length(seconds * 1_000));

const parts = (...units: [number, string][]): string =>
  units
    .filter(([value], index) => index === 0 || value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(" ");

export function bytes(size: number): string {
  if (size < 1_024) return `${size} B`;
  if (size < 1_048_576) return `${oneDigit.format(size / 1_024)} KiB`;
  return `${oneDigit.format(size / 1_048_576)} MiB`;
}

export const byteLength = (text: string): number => new TextEncoder().encode(text).length;

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndClock = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const full = new Intl.DateTimeFormat("en-GB", {
  dateStyle: "medium",
  timeStyle: "long",
});

const sameDay = (one: Date, other: Date): boolean => one.toDateString() === other.toDateString();

/** A moment in the reader's time zone: the time alone today, with the day before that. */
export function moment(at: string | Date, now = new Date()): string {
  const date = new Date(at);
  return sameDay(date, now) ? clock.format(date) : dayAndClock.format(date).replace(",", "");
}

/** The whole moment, for a tooltip: in the reader's time zone and in UTC. */
export const wholeMoment = (at: string | Date): string => {
  const date = new Date(at);
  return `${full.format(date)} · ${date.toISOString()}`;
};

/** The first characters of a text that is too long to show, and whether any were left out. */
export function cut(text: string, most: number): { text: string; left: number } {
  if (text.length <= most) return { text, left: 0 };
  return { text: text.slice(0, most), left: text.length - most };
}
