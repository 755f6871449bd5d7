import { type ReactNode, useEffect, useRef, useState } from "react";
import { colorOf, onThemeChange } from "../../colors.ts";

interface WaveformProps {
  /** Largest amplitudes, 0 to 1, for each channel; null: not known, a quiet line is drawn. */
  readonly peaks: readonly (readonly number[])[] | null;
  /** The share that was played, 0 to 1. */
  readonly played: number;
}

const barPx = 2;
const gapPx = 1;

/** Bars: the first channel upwards from the middle, the second (or the first again) downwards. */
export function Waveform({ peaks, played }: WaveformProps): ReactNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [looks, setLooks] = useState(0);
  useEffect(() => {
    const again = () => setLooks((number) => number + 1);
    const stop = onThemeChange(again);
    const observer = new ResizeObserver(again);
    if (canvas.current !== null) observer.observe(canvas.current);
    return () => {
      stop();
      observer.disconnect();
    };
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: looks counts changes of size and color
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, peaks, played);
  }, [peaks, played, looks]);
  return (
    <span aria-hidden="true">
      <canvas ref={canvas} className="size-full" />
    </span>
  );
}

function draw(canvas: HTMLCanvasElement, peaks: WaveformProps["peaks"], played: number): void {
  const context = canvas.getContext("2d");
  if (context === null) return;
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = height * scale;
  context.scale(scale, scale);
  const [above, below] = [peaks?.[0] ?? [], peaks?.[1] ?? peaks?.[0] ?? []];
  const bars = Math.max(1, Math.floor(width / (barPx + gapPx)));
  const half = height / 2;
  const [done, first, second] = [
    colorOf("--accent-fill"),
    colorOf("--line-strong"),
    colorOf("--line-strong"),
  ];
  for (let bar = 0; bar < bars; bar += 1) {
    const heard = (bar + 0.5) / bars <= played;
    const up = Math.max(1, loudest(above, bar, bars) * (half - 2));
    const down = Math.max(1, loudest(below, bar, bars) * (half - 2));
    const left = bar * (barPx + gapPx);
    context.fillStyle = heard ? done : first;
    context.fillRect(left, half - up, barPx, up);
    context.fillStyle = heard ? done : second;
    context.fillRect(left, half + 0.5, barPx, down);
  }
}

/** The largest peak of those that one bar stands for. */
function loudest(peaks: readonly number[], bar: number, bars: number): number {
  const from = Math.floor((bar / bars) * peaks.length);
  const to = Math.max(from + 1, Math.floor(((bar + 1) / bars) * peaks.length));
  let most = 0;
  for (let index = from; index < to; index += 1) most = Math.max(most, peaks[index] ?? 0);
  return most;
}
