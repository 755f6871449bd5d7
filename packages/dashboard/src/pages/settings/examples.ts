import callEnded from "@sendoff/contract/golden/call.ended.userHangup.json?raw";
import recordingReady from "@sendoff/contract/golden/recording.ready.success.json?raw";
import sessionEnded from "@sendoff/contract/golden/session.ended.json?raw";
import sessionFinalized from "@sendoff/contract/golden/session.finalized.call.json?raw";
import sessionStarted from "@sendoff/contract/golden/session.started.json?raw";
import type { EventName } from "../../api/types.ts";
import { prettyLines } from "../../ui/json-text.ts";

const pretty = (json: string): string =>
  prettyLines(json.trim())
    ?.map((line) => line.map(({ text }) => text).join(""))
    .join("\n") ?? json;

/** A body of each event as it would be sent: the contract's golden ones. */
export const examples: Record<EventName, string> = {
  "session.started": pretty(sessionStarted),
  "session.ended": pretty(sessionEnded),
  "call.ended": pretty(callEnded),
  "session.finalized": pretty(sessionFinalized),
  "recording.ready": pretty(recordingReady),
};
