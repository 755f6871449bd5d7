/** Why a recording was not saved. */
export type RecordingReason =
  /** The event says that there is none. */
  | "no_recording"
  /** The link is none that may be followed: another scheme, another host, a private address. */
  | "link_refused"
  /** The link's life was over, or its host said so. */
  | "link_expired"
  /** It could not be finished while the link lives. */
  | "too_late"
  /** The host could not be reached, or went on failing. */
  | "unreachable"
  /** The host answered with another status than it should. */
  | "wrong_answer"
  /** What came is no audio. */
  | "wrong_type"
  /** What came has another length than was said. */
  | "wrong_length"
  /** What came has another checksum than was said. */
  | "wrong_checksum"
  /** It is longer than `bytesMax`. */
  | "too_large"
  /** Another file was there when the download was taken up again. */
  | "changed"
  /** The folder or the function that it was to go to failed. */
  | "target_failed"
  /** The signal was aborted. */
  | "aborted";

/** The end of a download that will not be tried again. */
export class DownloadFailed extends Error {
  override readonly name = "DownloadFailed";
  readonly reason: RecordingReason;

  constructor(reason: RecordingReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** Something that may be better a moment later. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}
