import { type ReactNode, useMemo, useState } from "react";
import { byteLength, bytes, count } from "../format.ts";
import { Button } from "./button.tsx";
import { CopyButton } from "./copy.tsx";
import { prettyLines, type Token } from "./json-text.ts";
import { Scroller } from "./scroller.tsx";

/** Longer texts are shown in part first: laying out a megabyte in one line takes a browser seconds. */
const shownFirst = { characters: 12_000, lines: 300 } as const;
/** A text that is shown whole is laid out in blocks of this many characters, each when it comes into view. */
const blockCharacters = 8_000;

const colors: Record<Token["kind"], string> = {
  key: "text-accent",
  string: "text-ok",
  number: "text-warn",
  word: "text-odd",
  mark: "text-ink-3",
};

interface BodyProps {
  readonly text: string | null;
  /** What it is the body of. */
  readonly what: string;
  /** Said when there is none. */
  readonly none: string;
}

/** A body as a stranger wrote it: as text, pretty when it is JSON, raw when asked for. */
export function Body({ text, what, none }: BodyProps): ReactNode {
  const [raw, setRaw] = useState(false);
  const [whole, setWhole] = useState(false);
  const lines = useMemo(() => (text === null ? null : prettyLines(text)), [text]);
  if (text === null || text === "") return <p className="px-3 py-3 text-ink-3">{none}</p>;
  const pretty = !raw && lines !== null;
  const hidden = pretty
    ? lines.length > shownFirst.lines || text.length > shownFirst.characters * 4
    : text.length > shownFirst.characters;
  return (
    <div>
      <div className="flex items-center gap-1 border-b border-line px-2 py-1">
        <span className="numbers flex-1 px-1 text-xs text-ink-3">{bytes(byteLength(text))}</span>
        {lines !== null && (
          <Button small kind="quiet" aria-pressed={!raw} onClick={() => setRaw(!raw)}>
            {raw ? "Pretty" : "Raw"}
          </Button>
        )}
        <CopyButton text={text} what={what} />
      </div>
      <Scroller label={what} className="max-h-[26rem] overflow-auto">
        <pre dir="auto" className="foreign p-3 font-mono text-[12.5px] leading-[1.55] whitespace-pre-wrap">
          {pretty ? (
            <Lines lines={whole ? lines : lines.slice(0, shownFirst.lines)} cut={!whole} />
          ) : (
            <Blocks text={whole ? text : text.slice(0, shownFirst.characters)} />
          )}
        </pre>
      </Scroller>
      {hidden && (
        <div className="border-t border-line px-2 py-1.5">
          <Button small onClick={() => setWhole(!whole)}>
            {whole
              ? "Show the beginning"
              : pretty
                ? `Show all ${count(lines.length)} lines`
                : `Show all ${count(text.length)} characters`}
          </Button>
        </div>
      )}
    </div>
  );
}

/** Lines in groups that are laid out when they come into view. */
function Lines({ lines, cut }: { lines: readonly Token[][]; cut: boolean }): ReactNode {
  return partsOf(lines.length, 100).map(({ from, to }) => (
    <span key={from} className="block [contain-intrinsic-block-size:auto_120rem] [content-visibility:auto]">
      {partsOf(to - from, 1).map(({ from: line }) => (
        <Line key={line} tokens={lines[from + line] ?? []} cut={cut} />
      ))}
    </span>
  ));
}

function Line({ tokens, cut }: { tokens: readonly Token[]; cut: boolean }): ReactNode {
  const pieces = tokens.map(({ kind, text }, place) => ({ kind, text, place }));
  return (
    <span className="block min-h-[1.55em]">
      {pieces.map(({ kind, text, place }) => (
        <span key={place} className={colors[kind]}>
          {cut && text.length > 4_000 ? `${text.slice(0, 4_000)}…` : <Blocks text={text} />}
        </span>
      ))}
    </span>
  );
}

function Blocks({ text }: { text: string }): ReactNode {
  if (text.length <= blockCharacters) return text;
  return partsOf(text.length, blockCharacters).map(({ from, to }) => (
    <span key={from} className="block [contain-intrinsic-block-size:auto_60rem] [content-visibility:auto]">
      {text.slice(from, to)}
    </span>
  ));
}

/** A length cut into parts of a size; the last may be shorter. */
const partsOf = (length: number, size: number): { from: number; to: number }[] =>
  Array.from({ length: Math.ceil(length / size) }, (_, number) => ({
    from: number * size,
    to: Math.min((number + 1) * size, length),
  }));
