// The receiver of the platform's own documents, word for word from "import" to the answer. Around it: the handlers that
// it calls, which append what they processed to the file of EFFECTS, and the port.
import { appendFileSync } from "node:fs";
import express from "express";

const app = express();
app.use(express.json());

app.post("/pathors-webhook", async (req, res) => {
  const payload = req.body;

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
      // Unknown event — accept and ignore so future Pathors event types
      // do not break your receiver.
      break;
  }

  res.status(200).json({ status: "ok" });
});

const processed = async ({ sessionId, event }) =>
  appendFileSync(process.env.EFFECTS, `${JSON.stringify([sessionId, event])}\n`);
const onSessionEnded = processed;
const onCallEnded = processed;
const onCallCompleted = processed;
const onTextCompleted = processed;
const onRecordingReady = processed;

const server = app.listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/pathors-webhook`);
});
