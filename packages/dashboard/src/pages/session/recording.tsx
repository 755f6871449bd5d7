import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { sessionPath } from "../../api/http.ts";
import { peaksQuery } from "../../api/queries.ts";
import type { RecordedAudio, SessionDetail } from "../../api/types.ts";
import { bytes } from "../../format.ts";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { DownloadIcon, PauseIcon, PlayIcon } from "../../ui/icons.tsx";
import { Notice } from "../../ui/notice.tsx";
import { Waveform } from "./waveform.tsx";

interface RecordingProps {
  readonly projectId: string;
  readonly session: SessionDetail;
}

export function Recording({ projectId, session }: RecordingProps): ReactNode {
  const { recording, erasedAt, sessionId } = session;
  if (recording?.success === true && erasedAt === null) {
    return <Player projectId={projectId} sessionId={sessionId} recording={recording} />;
  }
  return (
    <Card title="Recording">
      {erasedAt !== null ? (
        <p className="text-ink-3">The audio was erased.</p>
      ) : recording === null ? (
        <p className="text-ink-2">
          None was reported yet. PUT the audio to{" "}
          <code className="font-mono text-[12.5px]">.../recording</code>, or report that there is none.
        </p>
      ) : (
        <Notice tone="warn">
          The recording could not be processed
          {recording.error === null ? "." : `: ${recording.error.slice(0, 500)}`}
        </Notice>
      )}
    </Card>
  );
}

interface PlayerProps {
  readonly projectId: string;
  readonly sessionId: string;
  readonly recording: RecordedAudio;
}

const clock = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** Plays the call's audio. The server answers with a fresh short-lived link each time, so it plays at any time. */
function Player({ projectId, sessionId, recording }: PlayerProps): ReactNode {
  const audio = useRef<HTMLAudioElement>(null);
  const [at, setAt] = useState(0);
  const [seconds, setSeconds] = useState(recording.seconds ?? 0);
  const [playing, setPlaying] = useState(false);
  const [failed, setFailed] = useState(false);
  const peaks = useQuery({
    ...peaksQuery(projectId, sessionId, recording.reportedAt),
    enabled: recording.peaks !== "none",
  });
  const source = sessionPath(projectId, sessionId, "/recording");
  useEffect(() => {
    if (!playing) return;
    let frame = 0;
    const follow = () => {
      if (audio.current !== null) setAt(audio.current.currentTime);
      frame = requestAnimationFrame(follow);
    };
    frame = requestAnimationFrame(follow);
    return () => cancelAnimationFrame(frame);
  }, [playing]);
  const seek = (to: number) => {
    setAt(to);
    if (audio.current !== null) audio.current.currentTime = to;
  };
  const length = seconds > 0 ? seconds : (peaks.data?.seconds ?? 0);
  return (
    <Card
      title="Recording"
      note={[recording.contentType, recording.bytes == null ? null : bytes(recording.bytes)]
        .filter(Boolean)
        .join(", ")}
      actions={
        <a className={buttonClass("plain", true)} href={source} download={`${sessionId}.audio`}>
          <DownloadIcon className="size-3.5" />
          Download
        </a>
      }
    >
      {/* biome-ignore lint/a11y/useMediaCaption: a call has no captions; its variables stand beside it */}
      <audio
        ref={audio}
        src={source}
        preload="metadata"
        onLoadedMetadata={({ currentTarget }) => {
          if (Number.isFinite(currentTarget.duration)) setSeconds(currentTarget.duration);
        }}
        onDurationChange={({ currentTarget }) => {
          if (Number.isFinite(currentTarget.duration)) setSeconds(currentTarget.duration);
        }}
        onPlay={() => setPlaying(true)}
        onPause={() => setPlaying(false)}
        onEnded={() => setPlaying(false)}
        onTimeUpdate={({ currentTarget }) => setAt(currentTarget.currentTime)}
        onError={() => setFailed(true)}
      />
      {failed && (
        <div className="mb-3">
          <Notice tone="bad">
            The audio can't be played here. It may have been removed, or this browser does not know its
            format. Try the download.
          </Notice>
        </div>
      )}
      <div className="flex items-center gap-3">
        <Button
          kind="primary"
          className="!size-10 shrink-0 !rounded-full !p-0"
          aria-label={playing ? "Pause" : "Play"}
          onClick={() => {
            if (playing) audio.current?.pause();
            else void audio.current?.play().catch(() => setFailed(true));
          }}
        >
          {playing ? <PauseIcon className="size-5" /> : <PlayIcon className="size-5" />}
        </Button>
        <div className="relative h-16 min-w-0 flex-1 rounded-md has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent-fill">
          <Waveform peaks={peaks.data?.channels ?? null} played={length === 0 ? 0 : at / length} />
          <input
            type="range"
            aria-label="Position in the recording"
            aria-valuetext={`${clock(at)} of ${clock(length)}`}
            min={0}
            max={length || 1}
            step={0.1}
            value={Math.min(at, length || 1)}
            onChange={(event) => seek(Number(event.target.value))}
            className="absolute inset-0 m-0 size-full cursor-pointer opacity-0"
          />
        </div>
      </div>
      <div className="numbers mt-2 flex justify-between pl-[3.25rem] text-[12.5px] text-ink-3">
        <span data-testid="position">{clock(at)}</span>
        {peaks.isLoading && <span role="status">Computing the waveform ...</span>}
        <span>{clock(length)}</span>
      </div>
    </Card>
  );
}
