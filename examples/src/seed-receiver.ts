// The receiver that the webhook's documents show, written down as they show it, so that it can be held against what they
// ask for. It branches on the event, ignores what it does not know, and answers 200. What it lacks: it believes anybody,
// it handles a delivery that comes twice twice, and it works before it answers. express.ts is what it should be.
import express from "express";

interface Body {
  event: string;
  sessionId: string;
  success?: boolean;
  recordingUrl?: string;
}

const note =
  (what: string) =>
  async ({ sessionId }: Body): Promise<void> => {
    console.log(what, sessionId);
  };
const onSessionEnded = note("session ended");
const onCallEnded = note("call ended");
const onCallCompleted = note("call completed");
const onTextCompleted = note("text completed");
const onRecordingReady = note("recording ready");

const app = express();
app.use(express.json());

app.post("/webhook", async (req, res) => {
  const payload = req.body as Body;

  switch (payload.event) {
    case "session.ended":
      await onSessionEnded(payload);
      break;

    case "call.ended":
      await onCallEnded(payload);
      break;

    case "session.finalized":
      if ("callStatus" in payload) {
        await onCallCompleted(payload);
      } else {
        await onTextCompleted(payload);
      }
      break;

    case "recording.ready":
      if (payload.success && payload.recordingUrl) {
        await onRecordingReady(payload); // fetch the URL before it expires
      }
      break;

    default:
      // Unknown event: accept and ignore, so that future events do not break the receiver.
      break;
  }

  res.status(200).json({ status: "ok" });
});

app.listen(Number(process.env.PORT ?? 4700), "127.0.0.1", () => console.log("listening"));
