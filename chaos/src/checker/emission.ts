import { type Evidence, groupBy, sessionKey, type Violation, violation } from "./evidence.ts";

/** I4: each event is emitted at most once per session: in the tables, and in what the answers to reports say. */
export function checkEmission({ history, triesOf }: Evidence): Violation[] {
  const rows = groupBy(history.tables.events, (row) => `${sessionKey(row)} ${row.event}`);
  const twice = [...rows].filter(([, group]) => group.length > 1);
  const found = twice.map(([key, group]) =>
    violation("I4", `${key} was emitted ${group.length} times`, ...group),
  );
  for (const [key, tries] of triesOf) {
    const named = groupBy(
      tries.flatMap((entry) => entry.events.map((event) => ({ event, entry }))),
      ({ event }) => event,
    );
    for (const [event, by] of named) {
      if (by.length === 1) continue;
      found.push(
        violation(
          "I4",
          `${by.length} answers say that they emitted ${event} of ${key}`,
          ...by.map((item) => item.entry),
        ),
      );
    }
  }
  return found;
}
