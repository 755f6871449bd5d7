import type { ReactNode } from "react";
import type { EventName } from "../../api/types.ts";
import { EventDot } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Field, inputClass } from "../../ui/field.tsx";
import { CloseIcon, PlusIcon } from "../../ui/icons.tsx";
import { eventWords } from "../../words.ts";
import { examples } from "./examples.ts";
import type { fieldErrors, WebhookDraft } from "./webhook-draft.ts";

interface WebhookFormProps {
  readonly draft: WebhookDraft;
  readonly onChange: (draft: WebhookDraft) => void;
  readonly events: readonly EventName[];
  readonly errors: ReturnType<typeof fieldErrors>;
}

/** The fields of a webhook: the agent's, or one of the project's. */
export function WebhookForm({ draft, onChange, events, errors }: WebhookFormProps): ReactNode {
  const set = (change: Partial<WebhookDraft>) => onChange({ ...draft, ...change });
  return (
    <div className="space-y-6">
      <Field
        label="URL"
        type="url"
        mono
        required
        value={draft.url}
        onChange={(url) => set({ url })}
        error={errors.of("url")}
        placeholder="https://hooks.example.com/sendoff"
        autoComplete="off"
        spellCheck={false}
      />
      <fieldset>
        <legend className="mb-2 text-[13px] font-medium">Events</legend>
        <ul className="divide-y divide-line rounded-lg border border-line">
          {events.map((event) => (
            <EventChoice
              key={event}
              event={event}
              chosen={draft.events.includes(event)}
              onChange={(chosen) =>
                // In the order of the contract, whatever the order of the clicks.
                set({ events: events.filter((one) => (one === event ? chosen : draft.events.includes(one))) })
              }
            />
          ))}
        </ul>
        {errors.of("events") !== undefined && (
          <p className="mt-1 text-[13px] text-bad">{errors.of("events")}</p>
        )}
      </fieldset>
      <Headers draft={draft} set={set} errors={errors} />
      <Delivery draft={draft} set={set} errors={errors} />
    </div>
  );
}

interface EventChoiceProps {
  readonly event: EventName;
  readonly chosen: boolean;
  readonly onChange: (chosen: boolean) => void;
}

function EventChoice({ event, chosen, onChange }: EventChoiceProps): ReactNode {
  return (
    <li className="px-3 py-2.5">
      <label className="flex cursor-pointer items-start gap-2.5">
        <input
          type="checkbox"
          className="mt-1 size-4 accent-accent-fill"
          checked={chosen}
          onChange={({ target }) => onChange(target.checked)}
          aria-describedby={`${event}-meaning`}
        />
        <span className="flex items-center gap-1.5 font-mono text-[13px] font-medium">
          <EventDot event={event} />
          {event}
        </span>
      </label>
      <p id={`${event}-meaning`} className="pl-6.5 text-[13px] text-ink-2">
        {eventWords[event].meaning}
      </p>
      <details className="pl-6.5 text-[13px]">
        <summary className="inline-block rounded text-accent select-none">Example</summary>
        <pre className="mt-1.5 overflow-x-auto rounded-md bg-sunken p-2.5 font-mono text-xs whitespace-pre-wrap break-all">
          {examples[event]}
        </pre>
      </details>
    </li>
  );
}

interface PartProps {
  readonly draft: WebhookDraft;
  readonly set: (change: Partial<WebhookDraft>) => void;
  readonly errors: ReturnType<typeof fieldErrors>;
}

function Headers({ draft: { headers }, set, errors }: PartProps): ReactNode {
  const change = (row: number, part: { key?: string; value?: string }) =>
    set({ headers: headers.map((header) => (header.row === row ? { ...header, ...part } : header)) });
  const next = Math.max(-1, ...headers.map(({ row }) => row)) + 1;
  return (
    <fieldset>
      <legend className="text-[13px] font-medium">Headers</legend>
      <p className="mb-2 text-[13px] text-ink-3">
        Sent along with each attempt. Values are kept encrypted and shown masked; leave a masked one as it is
        to keep it.
      </p>
      <ul className="space-y-2">
        {headers.map(({ row, key, value }, index) => {
          const error = errors.of(`headers[${index}]`);
          return (
            <li key={row}>
              <div className="grid grid-cols-[minmax(0,2fr)_minmax(0,3fr)_auto] gap-2">
                <input
                  aria-label={`Name of header ${index + 1}`}
                  aria-invalid={error !== undefined}
                  placeholder="X-Route"
                  value={key}
                  onChange={({ target }) => change(row, { key: target.value })}
                  className={`${inputClass} font-mono text-[13px]`}
                  autoComplete="off"
                  spellCheck={false}
                />
                <input
                  aria-label={`Value of header ${index + 1}`}
                  aria-invalid={error !== undefined}
                  placeholder="Value"
                  value={value}
                  onChange={({ target }) => change(row, { value: target.value })}
                  className={`${inputClass} font-mono text-[13px]`}
                  autoComplete="off"
                  spellCheck={false}
                />
                <Button
                  kind="quiet"
                  aria-label={`Remove header ${index + 1}`}
                  onClick={() => set({ headers: headers.filter((header) => header.row !== row) })}
                >
                  <CloseIcon />
                </Button>
              </div>
              {error !== undefined && <p className="foreign mt-1 text-[13px] text-bad">{error}</p>}
            </li>
          );
        })}
      </ul>
      <Button
        small
        className="mt-2"
        onClick={() => set({ headers: [...headers, { row: next, key: "", value: "" }] })}
      >
        <PlusIcon className="size-3.5" />
        Add a header
      </Button>
    </fieldset>
  );
}

function Delivery({ draft, set, errors }: PartProps): ReactNode {
  return (
    <fieldset>
      <legend className="mb-2 text-[13px] font-medium">Delivery</legend>
      <div className="space-y-3">
        <div className="max-w-56">
          <Field
            label="Timeout of an attempt"
            value={draft.timeout}
            onChange={(timeout) => set({ timeout })}
            error={errors.of("delivery.timeout")}
            placeholder="10s"
            note="100ms to 30s, for all of it."
          />
        </div>
        <label className="flex cursor-pointer items-start gap-2.5">
          <input
            type="checkbox"
            className="mt-1 size-4 accent-accent-fill"
            checked={draft.retries}
            onChange={({ target }) => set({ retries: target.checked })}
          />
          <span>
            <span className="font-medium">Retry what was not answered 2xx</span>
            <span className="block text-[13px] text-ink-2">
              Without it each event is attempted once. With it the events of a session still come in order:
              the lane waits.
            </span>
          </span>
        </label>
        {draft.retries && (
          <div className="grid max-w-md grid-cols-2 gap-3 pl-6.5">
            <Field
              label="Attempts in all"
              type="number"
              min={2}
              max={20}
              value={draft.attempts}
              onChange={(attempts) => set({ attempts })}
              error={errors.of("delivery.retries.attempts")}
              note="2 to 20."
            />
            <Field
              label="Within"
              value={draft.window}
              onChange={(window) => set({ window })}
              error={errors.of("delivery.retries.window")}
              note="1s to 7d after the first."
            />
          </div>
        )}
      </div>
    </fieldset>
  );
}
