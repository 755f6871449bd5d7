import "uplot/dist/uPlot.min.css";
import { type ReactNode, useEffect, useRef, useState } from "react";
import UPlot from "uplot";
import { colorOf, onThemeChange } from "../../colors.ts";

interface Line {
  readonly name: string;
  readonly color: `--${string}`;
  readonly values: readonly (number | null)[];
}

interface ChartProps {
  readonly label: string;
  /** Seconds since 1970. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  readonly format: (value: number) => string;
}

const height = 170;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** Lines over time. Under the pointer the legend tells the values; else the latest ones. */
export function Chart({ label, times, lines, format }: ChartProps): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const [index, setIndex] = useState<number | null>(null);
  const [looks, setLooks] = useState(0);
  const data = [times, ...lines.map(({ values }) => values)] as unknown as UPlot.AlignedData;
  useEffect(() => onThemeChange(() => setLooks((number) => number + 1)), []);
  // The plot is made anew for other lines or colors; new values are put into the one that is there.
  const shape = lines.map(({ name, color }) => `${name} ${color}`).join();
  // biome-ignore lint/correctness/useExhaustiveDependencies: shape stands for the lines, looks for the colors
  useEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new UPlot(optionsOf(lines, format, element.clientWidth, setIndex), data, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, looks]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: data is made of these
  useEffect(() => plot.current?.setData(data), [times, lines]);
  const at = index ?? times.length - 1;
  const told = times[at];
  return (
    <figure className="-mx-1">
      <figcaption className="mb-1 flex flex-wrap items-center gap-x-4 gap-y-0.5 px-1 text-[12.5px]">
        <span className="sr-only">{label}. </span>
        {lines.map(({ name, color, values }) => {
          const value = values[at];
          return (
            <span key={name} className="inline-flex items-center gap-1.5 text-ink-2">
              <span
                aria-hidden="true"
                className="h-0.5 w-3 rounded"
                style={{ backgroundColor: `var(${color})` }}
              />
              {name}
              <span className="numbers font-medium text-ink">{value == null ? "none" : format(value)}</span>
            </span>
          );
        })}
        {told !== undefined && (
          <span className="numbers ml-auto text-ink-3">
            {new Date(told * 1_000).toLocaleString("en-GB", {
              day: "numeric",
              month: "short",
              hour: "2-digit",
              minute: "2-digit",
            })}
          </span>
        )}
      </figcaption>
      <div ref={place} aria-hidden="true" style={{ height }} />
    </figure>
  );
}

function optionsOf(
  lines: readonly Line[],
  format: (value: number) => string,
  width: number,
  onIndex: (index: number | null) => void,
): UPlot.Options {
  const [ink, grid] = [colorOf("--ink-3"), colorOf("--line")];
  const font = '11px "Inter Variable", sans-serif';
  return {
    width,
    height,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
    hooks: { setCursor: [(plot) => onIndex(plot.cursor.idx ?? null)] },
    scales: { y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.15 : 1] } },
    axes: [
      {
        stroke: ink,
        font,
        grid: { show: false },
        ticks: { show: false },
        gap: 4,
        size: 26,
        space: 64,
        values: (_plot, seconds) => {
          const days = (seconds.at(-1) ?? 0) - (seconds[0] ?? 0) > 2 * 86_400;
          return seconds.map((second) => (days ? day : clock).format(second * 1_000));
        },
      },
      {
        stroke: ink,
        font,
        grid: { stroke: grid, width: 1 },
        ticks: { show: false },
        size: 56,
        gap: 6,
        values: (_plot, values) => values.map(format),
      },
    ],
    series: [
      {},
      ...lines.map(({ name, color }) => ({
        label: name,
        stroke: colorOf(color),
        width: 1.75,
        points: { show: false },
        spanGaps: false,
      })),
    ],
  };
}
