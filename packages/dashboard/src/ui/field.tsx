import { type InputHTMLAttributes, type ReactNode, useId } from "react";

export const inputClass =
  "h-9 w-full min-w-0 rounded-md border border-line-strong bg-surface px-2.5 shadow-card placeholder:text-ink-3 aria-invalid:border-bad-fill";

interface FieldProps extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange" | "value"> {
  readonly label: string;
  readonly note?: ReactNode;
  /** What is wrong with it, in the API's words. */
  readonly error?: string | undefined;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly mono?: boolean;
}

export function Field({ label, note, error, value, onChange, mono = false, ...rest }: FieldProps): ReactNode {
  const id = useId();
  const says = [note === undefined ? "" : `${id}-note`, error === undefined ? "" : `${id}-error`]
    .join(" ")
    .trim();
  return (
    <div>
      <label htmlFor={id} className="mb-1 block text-[13px] font-medium">
        {label}
      </label>
      <input
        id={id}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        aria-invalid={error !== undefined}
        aria-describedby={says === "" ? undefined : says}
        className={`${inputClass} ${mono ? "font-mono text-[13px]" : ""}`}
        {...rest}
      />
      {error !== undefined && (
        <p id={`${id}-error`} className="foreign mt-1 text-[13px] text-bad">
          {error}
        </p>
      )}
      {note !== undefined && (
        <p id={`${id}-note`} className="mt-1 text-[13px] text-ink-3">
          {note}
        </p>
      )}
    </div>
  );
}
