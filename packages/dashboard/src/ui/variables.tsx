import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useDeferredValue, useMemo, useRef, useState } from "react";
import { count, cut } from "../format.ts";
import { Button } from "./button.tsx";
import { inputClass } from "./field.tsx";
import { Scroller } from "./scroller.tsx";

/** Up to here all are laid out; beyond, only those in view. */
const plainMost = 60;
const rowHeight = 34;

type Entry = readonly [name: string, value: string];

/** Variables as name and value. What a value is can be seen: strings stand as they are, all else as JSON. */
export function Variables({
  variables,
  none,
}: {
  variables: Record<string, unknown>;
  none: string;
}): ReactNode {
  const [filter, setFilter] = useState("");
  const sought = useDeferredValue(filter.trim().toLowerCase());
  const entries = useMemo(
    () =>
      Object.entries(variables).map(
        ([name, value]): Entry => [name, typeof value === "string" ? value : JSON.stringify(value)],
      ),
    [variables],
  );
  const shown = useMemo(
    () =>
      sought === ""
        ? entries
        : entries.filter((entry) => entry.some((text) => text.toLowerCase().includes(sought))),
    [entries, sought],
  );
  if (entries.length === 0) return <p className="px-4 py-4 text-ink-3">{none}</p>;
  return (
    <div>
      {entries.length > 12 && (
        <div className="flex items-center gap-3 border-b border-line px-4 py-2">
          <input
            aria-label="Find a variable"
            placeholder="Find a variable"
            className={inputClass}
            value={filter}
            onChange={(event) => setFilter(event.target.value)}
          />
          <span role="status" className="numbers shrink-0 text-[13px] text-ink-3">
            {count(shown.length)} of {count(entries.length)}
          </span>
        </div>
      )}
      {shown.length <= plainMost ? (
        <dl>
          {shown.map(([name, value]) => (
            <div
              key={name}
              className="grid gap-x-4 border-b border-line px-4 py-2 last:border-0 sm:grid-cols-[minmax(8rem,1fr)_2fr]"
            >
              <dt dir="auto" className="foreign font-mono text-[12.5px] text-ink-2">
                {cut(name, 300).text}
              </dt>
              <dd dir="auto" className="foreign">
                <Value text={value} />
              </dd>
            </div>
          ))}
        </dl>
      ) : (
        <Many entries={shown} />
      )}
    </div>
  );
}

function Value({ text }: { text: string }): ReactNode {
  const [whole, setWhole] = useState(false);
  const { text: first, left } = cut(text, 600);
  if (left === 0) return text === "" ? <span className="text-ink-3">empty</span> : text;
  return (
    <>
      {whole ? text : first}
      {whole ? " " : "… "}
      <Button small kind="quiet" onClick={() => setWhole(!whole)}>
        {whole ? "Show less" : `Show ${count(left)} more characters`}
      </Button>
    </>
  );
}

/** One line each, laid out as they come into view; a chosen one is shown whole below. */
function Many({ entries }: { entries: readonly Entry[] }): ReactNode {
  const scroller = useRef<HTMLElement>(null);
  const [chosen, setChosen] = useState<Entry | null>(null);
  const rows = useVirtualizer({
    count: entries.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 12,
  });
  return (
    <>
      <Scroller scrolls={scroller} label="Variables" className="h-96 overflow-y-auto">
        <div className="relative" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map(({ index, start }) => {
            const entry = entries[index];
            if (entry === undefined) return null;
            return (
              <button
                type="button"
                key={index}
                onClick={() => setChosen(entry)}
                className="absolute inset-x-0 grid grid-cols-[1fr_2fr] items-center gap-4 border-b border-line px-4 text-left hover:bg-sunken"
                style={{ height: rowHeight, transform: `translateY(${start}px)` }}
              >
                <span dir="auto" className="foreign truncate font-mono text-[12.5px] text-ink-2">
                  {cut(entry[0], 200).text}
                </span>
                <span dir="auto" className="foreign truncate">
                  {cut(entry[1], 300).text}
                </span>
              </button>
            );
          })}
        </div>
      </Scroller>
      {chosen !== null && (
        <div className="border-t border-line px-4 py-3" role="status">
          <p dir="auto" className="foreign font-mono text-[12.5px] text-ink-2">
            {cut(chosen[0], 2_000).text}
          </p>
          <p dir="auto" className="foreign">
            <Value text={chosen[1]} />
          </p>
        </div>
      )}
    </>
  );
}
