import { Select } from "@base-ui/react/select";
import type { ReactNode } from "react";
import { CheckIcon, ChevronIcon } from "./icons.tsx";

interface Option<Value extends string> {
  readonly value: Value;
  readonly label: string;
  readonly mark?: ReactNode;
  readonly note?: string;
}

interface CommonProps<Value extends string> {
  readonly label: string;
  readonly options: readonly Option<Value>[];
  readonly className?: string;
}

const trigger =
  "inline-flex h-9 max-w-full items-center gap-2 rounded-md border border-line-strong bg-surface px-2.5 text-left shadow-card hover:bg-sunken";
const popup =
  "z-50 max-h-[min(26rem,var(--available-height))] min-w-[var(--anchor-width)] max-w-[min(26rem,var(--available-width))] overflow-y-auto rounded-lg border border-line bg-raised p-1 shadow-float outline-none";
const item =
  "grid cursor-pointer grid-cols-[1rem_1fr] items-start gap-2 rounded-md px-2 py-1.5 outline-none select-none data-[highlighted]:bg-sunken";

function Items<Value extends string>({ label, options }: CommonProps<Value>): ReactNode {
  return (
    <Select.Portal>
      {/* It stands outside of the page's main part: a landmark of its own. */}
      <section aria-label={`Options: ${label}`}>
        <Select.Positioner sideOffset={6} alignItemWithTrigger={false} className="z-50 outline-none">
          <Select.Popup className={popup}>
            <Select.List>
              {options.map(({ value, label, mark, note }) => (
                <Select.Item key={value} value={value} className={item}>
                  <Select.ItemIndicator className="col-start-1 pt-0.5 text-accent">
                    <CheckIcon className="size-3.5" />
                  </Select.ItemIndicator>
                  <span className="col-start-2 min-w-0">
                    <Select.ItemText className="foreign flex items-center gap-1.5">
                      {mark}
                      {label}
                    </Select.ItemText>
                    {note !== undefined && <span className="block text-xs text-ink-3">{note}</span>}
                  </span>
                </Select.Item>
              ))}
            </Select.List>
          </Select.Popup>
        </Select.Positioner>
      </section>
    </Select.Portal>
  );
}

export interface ChoiceProps<Value extends string> extends CommonProps<Value> {
  readonly value: Value;
  readonly onChange: (value: Value) => void;
}

/** One of several. */
export function Choice<Value extends string>({
  label,
  options,
  value,
  onChange,
  className = "",
}: ChoiceProps<Value>): ReactNode {
  const chosen = options.find((option) => option.value === value);
  return (
    <Select.Root value={value} onValueChange={(next) => next !== null && onChange(next as Value)}>
      <Select.Trigger
        aria-label={`${label}: ${chosen?.label ?? value}`}
        className={`${trigger} ${className}`}
      >
        <span className="foreign flex min-w-0 flex-1 items-center gap-1.5 truncate">
          {chosen?.mark}
          <span className="truncate">{chosen?.label ?? value}</span>
        </span>
        <ChevronIcon className="size-4 text-ink-3" />
      </Select.Trigger>
      <Items label={label} options={options} />
    </Select.Root>
  );
}

export interface ChoicesProps<Value extends string> extends CommonProps<Value> {
  readonly values: readonly Value[];
  readonly onChange: (values: Value[]) => void;
}

/** Any of several; none means all. */
export function Choices<Value extends string>({
  label,
  options,
  values,
  onChange,
  className = "",
}: ChoicesProps<Value>): ReactNode {
  const first = options.find((option) => option.value === values[0]);
  const said = values.length === 0 ? `Any ${label.toLowerCase()}` : (first?.label ?? values[0]);
  return (
    <Select.Root multiple value={[...values]} onValueChange={(next) => onChange(next as Value[])}>
      <Select.Trigger
        aria-label={`${label}: ${values.length === 0 ? "any" : values.join(", ")}`}
        className={`${trigger} ${values.length > 0 ? "border-accent-fill" : ""} ${className}`}
      >
        <span
          className={`foreign flex min-w-0 flex-1 items-center gap-1.5 ${values.length === 0 ? "text-ink-2" : ""}`}
        >
          {first?.mark}
          <span className="truncate">{said}</span>
          {values.length > 1 && (
            <span className="rounded bg-accent-soft px-1 text-xs font-medium text-accent">
              +{values.length - 1}
            </span>
          )}
        </span>
        <ChevronIcon className="size-4 text-ink-3" />
      </Select.Trigger>
      <Items label={label} options={options} />
    </Select.Root>
  );
}
