import fc from "fast-check";
import { bodies, textFinalized } from "./requests.ts";

/** One POST that a sender makes. */
export interface Delivery {
  /** Names the effect that is owed for it. */
  readonly key: string;
  readonly body: string;
}

/** The deliveries of a session, each once. */
function deliveriesOf(session: string, channel: "call" | "text"): Delivery[] {
  const all: Record<string, string> =
    channel === "text"
      ? { "session.ended": bodies["session.ended"](session), "session.finalized": textFinalized(session) }
      : Object.fromEntries(Object.entries(bodies).map(([event, body]) => [event, body(session)]));
  return Object.entries(all).map(([event, body]) => ({ key: `${session} ${event}`, body }));
}

/** Any sessions, any order of their deliveries, with any of them made up to three times. */
export const scenarios: fc.Arbitrary<{ keys: string[]; deliveries: Delivery[] }> = fc
  .array(fc.constantFrom<"call" | "text">("call", "text"), { minLength: 1, maxLength: 3 })
  .map((channels) => channels.flatMap((channel, index) => deliveriesOf(`s${index}`, channel)))
  .chain((once) =>
    fc
      .tuple(
        fc.constant(once),
        fc.array(fc.constantFrom(...once), { maxLength: 8 }).chain((again) => {
          const all = [...once, ...again];
          return fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
        }),
      )
      .map(([every, deliveries]) => ({ keys: every.map(({ key }) => key), deliveries })),
  );

/** Where a process breaks: at its how manyth call of the store's server, and how. */
export interface Break {
  readonly step: number;
  /** `before`: it dies before the call; `after`: when the call is done, and unheard; `freeze`: it stands still for a while. */
  readonly how: "before" | "after" | "freeze";
}

export const breaks: fc.Arbitrary<Break> = fc.record({
  step: fc.integer({ min: 1, max: 40 }),
  how: fc.constantFrom("before", "after", "freeze"),
});

/** Where a handler throws: before its effect, within the transaction behind it, or behind the transaction. */
export type Fault = "before" | "within" | "behind" | "none";

export const faults: fc.Arbitrary<Fault[]> = fc.array(fc.constantFrom("before", "within", "behind", "none"), {
  minLength: 1,
  maxLength: 7,
});
