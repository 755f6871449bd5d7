import { lazy, type ReactElement, type ReactNode, Suspense } from "react";
import type { ChoiceProps, ChoicesProps } from "./choice-list.tsx";
import { ChevronIcon } from "./icons.tsx";

// The list of options and all that places it is as much script as a page: the page shows its rows without waiting for it.
const LazyChoice = lazy(() => import("./choice-list.tsx").then(({ Choice }) => ({ default: Choice })));
const LazyChoices = lazy(() => import("./choice-list.tsx").then(({ Choices }) => ({ default: Choices })));

/** One of several. */
export function Choice<Value extends string>(props: ChoiceProps<Value>): ReactNode {
  const Loaded = LazyChoice as unknown as (props: ChoiceProps<Value>) => ReactElement;
  const chosen = props.options.find(({ value }) => value === props.value);
  return (
    <Suspense fallback={<Closed says={chosen?.label ?? props.label} />}>
      <Loaded {...props} />
    </Suspense>
  );
}

/** Any of several; none means all. */
export function Choices<Value extends string>(props: ChoicesProps<Value>): ReactNode {
  const Loaded = LazyChoices as unknown as (props: ChoicesProps<Value>) => ReactElement;
  return (
    <Suspense fallback={<Closed says={`Any ${props.label.toLowerCase()}`} />}>
      <Loaded {...props} />
    </Suspense>
  );
}

/** What stands there for the moment until it can be opened: of the same size. */
function Closed({ says }: { says: string }): ReactNode {
  return (
    <span className="inline-flex h-9 max-w-full items-center gap-2 rounded-md border border-line-strong bg-surface px-2.5 text-ink-2">
      <span className="flex-1 truncate">{says}</span>
      <ChevronIcon className="size-4 text-ink-3" />
    </span>
  );
}
