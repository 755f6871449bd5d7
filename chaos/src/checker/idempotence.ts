import type { EventRow, Try } from "../history.ts";
import {
  contentOf,
  type Evidence,
  eventOfKind,
  groupBy,
  isOwn,
  payloadOf,
  type Violation,
  violation,
} from "./evidence.ts";

const factKinds = ["conversation-ended", "call-ended", "recording-processed"] as const;

/** I13: n identical reports are one, the first of two contradicting ones stands, and nothing else is refused. */
export function checkIdempotence({ history, triesOf, eventsOf }: Evidence): Violation[] {
  const channels = new Map(
    history.tables.sessions.map((row) => [`${row.project} ${row.session}`, row.channel]),
  );
  return [...triesOf].flatMap(([key, tries]) => {
    const kinds = groupBy(tries, (entry) => entry.kind);
    const facts = factKinds.flatMap((kind) => {
      const event = eventsOf.get(key)?.find((row) => row.event === eventOfKind[kind]);
      return checkFact(key, kinds.get(kind) ?? [], event);
    });
    return [...facts, ...tries.flatMap((entry) => checkRefusal(entry, channels.get(key) ?? null))];
  });
}

/** All sendings of one kind of report about one session. */
function checkFact(key: string, tries: readonly Try[], event: EventRow | undefined): Violation[] {
  const first = tries[0];
  if (first === undefined) return [];
  const name = `${first.kind} of ${key}`;
  const taken = tries.filter((entry) => entry.result === "ok");
  const found: Violation[] = [];
  const contents = new Set(taken.map((entry) => contentOf(entry.kind, entry.body)));
  if (contents.size > 1)
    found.push(violation("I13", `${name}: contradicting reports were both taken`, ...taken));
  const news = taken.filter((entry) => !entry.duplicate);
  if (news.length > 1) {
    found.push(violation("I13", `${name}: ${news.length} answers say that they were the first`, ...news));
  }
  const own = event !== undefined && isOwn(event);
  const allKnown = tries.every((entry) => entry.result !== "unknown");
  if (allKnown && taken.length > 0 && news.length === 0 && !own) {
    found.push(violation("I13", `${name}: every answer says duplicate, and of what?`, ...taken));
  }
  if (event === undefined) return found;
  const standing = contentOf(first.kind, payloadOf(event));
  for (const entry of tries) {
    const same = contentOf(entry.kind, entry.body) === standing;
    if (entry.result === "ok" && !same && !own) {
      found.push(violation("I13", `${name}: it was taken, but another one stands`, entry, event));
    }
    const isContradiction = entry.result === "refused" && entry.reason === "report_contradicts";
    if (isContradiction && same) {
      found.push(violation("I13", `${name}: it was refused, but it is what stands`, entry, event));
    }
    // After a deadline the first report is still stored: only one that contradicts it may be refused.
    if (isContradiction && own && contents.size === 0) {
      found.push(violation("I13", `${name}: it came after its deadline and was refused`, entry, event));
    }
  }
  return found;
}

/** Refusals that the model knows; any other is a report that was turned away for nothing. */
function checkRefusal(entry: Try, channel: string | null): Violation[] {
  if (entry.result !== "refused") return [];
  const isFact = factKinds.some((kind) => kind === entry.kind);
  const states =
    entry.kind === "conversation-ended" || entry.kind === "created" ? entry.body.channel : "call";
  const expected =
    (entry.reason === "report_contradicts" && isFact) ||
    (entry.reason === "conversation_over" && entry.kind === "progress") ||
    (entry.reason === "channel_conflict" && channel !== null && states !== channel);
  return expected
    ? []
    : [violation("I13", `${entry.kind} of ${entry.session} was refused: ${entry.reason}`, entry)];
}
