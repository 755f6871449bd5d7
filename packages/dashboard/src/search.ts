/** The query of a page's address: plain names and texts, as people write and share them. */
export const parseSearch = (text: string): Record<string, string> =>
  Object.fromEntries(new URLSearchParams(text));

export function stringifySearch(search: Record<string, unknown>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    if (typeof value === "string" && value !== "") parameters.set(name, value);
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

/** Keeps of an address's query what a page knows. */
export const only =
  <Name extends string>(...names: readonly Name[]) =>
  (search: Record<string, unknown>): Partial<Record<Name, string>> =>
    Object.fromEntries(
      names.flatMap((name) => {
        const value = search[name];
        return typeof value === "string" && value !== "" ? [[name, value]] : [];
      }),
    ) as Partial<Record<Name, string>>;

/** Values of a list that are among those known. */
export const listed = <Value extends string>(text: string | undefined, known: readonly Value[]): Value[] => {
  const asked = new Set((text ?? "").split(","));
  return known.filter((value) => asked.has(value));
};

/** Spans of time that lists can be narrowed to, in milliseconds. */
export const spans = {
  "1h": { label: "Last hour", ms: 3_600_000 },
  "24h": { label: "Last 24 hours", ms: 86_400_000 },
  "7d": { label: "Last 7 days", ms: 7 * 86_400_000 },
  "30d": { label: "Last 30 days", ms: 30 * 86_400_000 },
} as const;
type Span = keyof typeof spans;

const isSpan = (text: string | undefined): text is Span => text !== undefined && text in spans;

/** When a span begins: by the minute, so that the same list is asked for within it. */
export function since(span: string | undefined): string | undefined {
  if (!isSpan(span)) return undefined;
  return new Date(Math.floor((Date.now() - spans[span].ms) / 60_000) * 60_000).toISOString();
}
