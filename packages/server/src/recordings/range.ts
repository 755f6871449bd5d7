import type { ByteRange } from "./store.ts";

/**
 * What of an object a Range header asks for (RFC 9110, section 14).
 *
 * @returns null: all of it. There is no header, or one that may be ignored: malformed, of another unit, or of several
 * ranges, which no player sends. "beyond": nothing of it is there.
 */
export function rangeOf(header: string | undefined, bytes: number): ByteRange | "beyond" | null {
  const match = /^bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))$/.exec(header?.trim() ?? "");
  if (match === null) return null;
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    const length = Math.min(Number(suffix), bytes);
    return length === 0 ? "beyond" : { from: bytes - length, to: bytes - 1 };
  }
  const from = Number(first);
  const to = last === undefined || last === "" ? bytes - 1 : Math.min(Number(last), bytes - 1);
  // A last byte before the first makes the header invalid, not unsatisfiable.
  if (last !== undefined && last !== "" && Number(last) < from) return null;
  return from >= bytes ? "beyond" : { from, to };
}
