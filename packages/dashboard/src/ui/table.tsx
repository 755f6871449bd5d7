import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { count } from "../format.ts";
import { Button } from "./button.tsx";

export interface Column<Row> {
  readonly name: string;
  /** Of both the head and the cells: width, alignment, and from which width of the page on it is there. */
  readonly className?: string;
  readonly cell: (row: Row) => ReactNode;
}

interface TableProps<Row> {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly idOf: (row: Row) => string;
  /** What a click anywhere in the row does; the row's link or button does the same by keyboard. */
  readonly onOpen: (row: Row) => void;
  readonly isChosen?: (row: Row) => boolean;
  /** null: there are no more. */
  readonly more: (() => void) | null;
  readonly loadingMore: boolean;
  /** Of a row on a narrow page, in px; on a wide one it is 44. */
  readonly narrowRowHeight?: number;
}

const wideRowHeight = 44;

/** A list as a table of which only the rows in view are laid out; the next page is asked for when its end comes near. */
export function Table<Row>(props: TableProps<Row>): ReactNode {
  const { label, columns, rows, idOf, onOpen, isChosen, more, loadingMore, narrowRowHeight = 64 } = props;
  const body = useRef<HTMLTableSectionElement>(null);
  const rowHeight = useIsWide() ? wideRowHeight : narrowRowHeight;
  const [top, setTop] = useState(0);
  useEffect(() => {
    if (body.current !== null) setTop(body.current.getBoundingClientRect().top + window.scrollY);
  }, []);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => rowHeight,
    overscan: 10,
    scrollMargin: top,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: it measures anew when the height of rows changes
  useEffect(() => virtual.measure(), [rowHeight]);
  const items = virtual.getVirtualItems();
  const before = Math.max((items[0]?.start ?? top) - top, 0);
  const after = Math.max(virtual.getTotalSize() - ((items.at(-1)?.end ?? top) - top), 0);
  return (
    <div>
      <table
        aria-label={label}
        aria-rowcount={more === null ? rows.length + 1 : -1}
        className="w-full table-fixed border-collapse text-left"
      >
        <thead className="max-sm:sr-only">
          <tr className="border-b border-line text-xs text-ink-3">
            {columns.map(({ name, className = "" }) => (
              <th key={name} scope="col" className={`h-9 px-2 font-medium first:pl-4 last:pr-4 ${className}`}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body}>
          {before > 0 && <Spacer height={before} />}
          {items.map(({ index }) => {
            const row = rows[index];
            if (row === undefined) return null;
            return (
              <tr
                key={idOf(row)}
                aria-rowindex={index + 2}
                aria-current={isChosen?.(row) || undefined}
                style={{ height: rowHeight }}
                className="cursor-pointer border-b border-line last:border-0 hover:bg-sunken aria-[current=true]:bg-accent-soft"
                onClick={(event) => {
                  // A link or a button in it acts by itself; text that is being selected is no click.
                  if (event.target instanceof Element && event.target.closest("a, button") !== null) return;
                  if (window.getSelection()?.toString() === "") onOpen(row);
                }}
              >
                {columns.map(({ name, className = "", cell }) => (
                  <td
                    key={name}
                    className={`overflow-hidden px-2 first:pl-4 last:pr-4 max-sm:first:pr-4 ${className}`}
                  >
                    {cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
          {after > 0 && <Spacer height={after} />}
        </tbody>
      </table>
      {more !== null && <More more={more} loading={loadingMore} shown={rows.length} />}
    </div>
  );
}

/** Stands for rows that are not laid out. One cell: more would give hidden columns a width on narrow pages. */
function Spacer({ height }: { height: number }): ReactNode {
  return (
    <tr style={{ height }}>
      <td className="p-0" />
    </tr>
  );
}

/** Asks for the next page when it comes into view, or is pressed. */
function More({ more, loading, shown }: { more: () => void; loading: boolean; shown: number }): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (place.current === null || loading) return;
    const observer = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting === true) more();
    });
    observer.observe(place.current);
    return () => observer.disconnect();
  }, [more, loading]);
  return (
    <div ref={place} className="flex items-center justify-center gap-3 border-t border-line p-3">
      <span className="numbers text-[13px] text-ink-3">{count(shown)} shown</span>
      <Button small busy={loading && "Loading more ..."} onClick={more}>
        Show more
      </Button>
    </div>
  );
}

const wide = "(min-width: 40rem)";

function useIsWide(): boolean {
  const [isWide, setIsWide] = useState(() => matchMedia(wide).matches);
  useEffect(() => {
    const query = matchMedia(wide);
    const follow = () => setIsWide(query.matches);
    query.addEventListener("change", follow);
    return () => query.removeEventListener("change", follow);
  }, []);
  return isWide;
}
