import { styleText } from "node:util";
import type { InspectedRequest } from "@sendoff/contract";
import { visible } from "./visible.ts";

type Fields = Readonly<Record<string, unknown>>;
type Colour = "green" | "yellow" | "red" | "cyan" | "magenta";

const colours: Readonly<Record<string, Colour>> = {
  "session.ended": "cyan",
  "call.ended": "yellow",
  "session.finalized": "green",
  "recording.ready": "magenta",
};

/** One delivery as the inspector got it, in one line that is safe to print: time, event, session, what matters. */
export function deliveryLine(request: InspectedRequest, colour: boolean): string {
  const paint = (style: Colour | "dim", text: string): string =>
    colour ? styleText(style, text, { validateStream: false }) : text;
  const time = paint("dim", timeOfDay(new Date(request.receivedAt)));
  const fields = fieldsOf(request.body);
  if (fields === null) {
    const size = Buffer.byteLength(request.body);
    return `${time}  ${paint("red", "not a JSON object")}  ${size} bytes: ${visible(request.body, 60)}`;
  }
  const event = visible(word(fields.event) || "(no event)");
  const parts = [
    time,
    paint(colours[event] ?? "red", event.padEnd(17)),
    visible(word(fields.sessionId) || "(no session)"),
    ...[matter(event, fields)].filter((part) => part !== ""),
    paint("dim", sending(request.headers)),
  ];
  return parts.join("  ").trimEnd();
}

function matter(event: string, fields: Fields): string {
  const conversation = [node(fields.currentNodeId), counted(fields.messagesCount)];
  const call = [word(fields.callStatus), seconds(fields.callDuration)];
  const parts: Readonly<Record<string, string[]>> = {
    "session.started": [word(fields.channel)],
    "session.ended": conversation,
    "call.ended": call,
    "session.finalized": ["callStatus" in fields ? call.join(", ") : "text", ...conversation],
    "recording.ready": [fields.success === true ? "recording stored" : "no recording"],
  };
  return visible((parts[event] ?? []).filter((part) => part !== "").join(", "), 200);
}

/** The end of the webhook-id tells two apart and is short; the attempt matters from the second on. */
function sending(headers: InspectedRequest["headers"]): string {
  const id = headers["webhook-id"];
  const attempt = headers["sendoff-attempt"] ?? "1";
  const trigger = headers["sendoff-trigger"] ?? "live";
  const parts = [id === undefined ? "no webhook-id" : `…${visible(id.slice(-8))}`];
  if (attempt !== "1") parts.push(`attempt ${visible(attempt, 12)}`);
  if (trigger !== "live") parts.push(visible(trigger, 12));
  return parts.join("  ");
}

const word = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "";
const node = (value: unknown): string => (word(value) === "" ? "" : `at ${word(value)}`);
const counted = (value: unknown): string =>
  word(value) === "" ? "" : `${word(value)} ${value === 1 ? "message" : "messages"}`;
const seconds = (value: unknown): string => (word(value) === "" ? "" : `${word(value)} s`);

function fieldsOf(body: string): Fields | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
}

function timeOfDay(moment: Date): string {
  const two = (part: number): string => String(part).padStart(2, "0");
  const milliseconds = String(moment.getMilliseconds()).padStart(3, "0");
  return `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}.${milliseconds}`;
}
