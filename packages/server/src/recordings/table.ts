import type pg from "pg";

/** What is known of audio that is stored. */
export interface AudioFacts {
  readonly contentType: string;
  readonly bytes: number;
  /** In hex; null when nobody has read all of it yet. */
  readonly sha256: string | null;
  /** null: its bytes do not tell, or nobody has read all of it yet. */
  readonly seconds: number | null;
}

/** A row of `recordings`: one object that one session refers to, or will. */
export interface RecordingPlace {
  readonly projectId: string;
  readonly sessionId: string;
  readonly objectKey: string;
}

/** So long after its last sign of life an upload is taken for dead, in milliseconds. It gives one every 30 s. */
export const deadUploadMs = 5 * 60_000;

/** The row of a place. One whose audio is gone has no key, so it is at none. */
const here = "recordings.project_id = $1 AND recordings.session_id = $2 AND recordings.object_key = $3";
const hereOf = ({ projectId, sessionId, objectKey }: RecordingPlace): string[] => [
  projectId,
  sessionId,
  objectKey,
];

const dead = `alive_at < clock_timestamp() - ${deadUploadMs} * interval '1 millisecond'`;

/** Notes an upload before its first byte is stored: from now on somebody will remove what is left of it. */
export async function beginUpload(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  await pool.query(
    `INSERT INTO recordings (object_key, project_id, session_id, uploaded) VALUES ($1, $2, $3, true)`,
    [place.objectKey, place.projectId, place.sessionId],
  );
}

/** A sign of life of an upload. */
export async function uploadAlive(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  await pool.query(`UPDATE recordings SET alive_at = clock_timestamp() WHERE ${here}`, hereOf(place));
}

/** Notes what was stored. @returns false when the upload was taken for dead, and its object removed. */
export async function uploadStored(
  pool: pg.Pool,
  place: RecordingPlace,
  facts: AudioFacts & { readonly sha256: string },
): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE recordings
     SET alive_at = clock_timestamp(), content_type = $4, bytes = $5, sha256 = decode($6, 'hex'), seconds = $7
     WHERE ${here}`,
    [...hereOf(place), facts.contentType, facts.bytes, facts.sha256, facts.seconds],
  );
  return rowCount === 1;
}

/** Notes audio that was in the store before the session's report names it. */
export async function noteReported(
  pool: pg.Pool,
  place: RecordingPlace,
  facts: Pick<AudioFacts, "contentType" | "bytes">,
): Promise<void> {
  await pool.query(
    `INSERT INTO recordings (object_key, project_id, session_id, uploaded, content_type, bytes)
     VALUES ($1, $2, $3, false, $4, $5) ON CONFLICT DO NOTHING`,
    [place.objectKey, place.projectId, place.sessionId, facts.contentType, facts.bytes],
  );
}

/** Notes that the session refers to it: its report is committed. Now its peaks may be made. */
export async function keepRecording(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  await pool.query(
    `UPDATE recordings SET kept = true, peaks_due_at = clock_timestamp()
     WHERE ${here} AND NOT kept`,
    hereOf(place),
  );
}

/** Forgets a row that no session has come to refer to. */
export async function forgetRecording(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  await pool.query(`DELETE FROM recordings WHERE ${here} AND NOT kept`, hereOf(place));
}

/** A recording that a session refers to. */
export interface KeptRecording extends RecordingPlace {
  readonly contentType: string | null;
  readonly bytes: number | null;
  readonly sha256: string | null;
  readonly seconds: number | null;
  readonly peaks: "pending" | "made" | "none";
}

const keptColumns = `recordings.object_key AS "objectKey", recordings.project_id AS "projectId",
  recordings.session_id AS "sessionId", content_type AS "contentType", bytes, encode(sha256, 'hex') AS sha256, seconds, peaks`;

/** What is known of the audio at a key that a session refers to; null: nothing. */
export async function readRecording(pool: pg.Pool, place: RecordingPlace): Promise<KeptRecording | null> {
  const { rows } = await pool.query<KeptRecording>(
    `SELECT ${keptColumns} FROM recordings
     WHERE ${here}`,
    hereOf(place),
  );
  return rows[0] ?? null;
}

/** Settles what became of rows whose commit, or whose process, is over; at most 100. */
export async function settleUnkept(
  pool: pg.Pool,
): Promise<Array<RecordingPlace & { readonly uploaded: boolean }>> {
  // The session is the truth: the process died between the commit of its report and the note of it.
  await pool.query(
    `UPDATE recordings SET kept = true FROM sessions
     WHERE NOT kept AND ${dead} AND sessions.project_id = recordings.project_id
       AND sessions.session_id = recordings.session_id AND sessions.recording_object_key = recordings.object_key`,
  );
  const { rows } = await pool.query<RecordingPlace & { uploaded: boolean }>(
    `SELECT object_key AS "objectKey", project_id AS "projectId", session_id AS "sessionId", uploaded
     FROM recordings WHERE NOT kept AND ${dead} ORDER BY alive_at LIMIT 100`,
  );
  return rows;
}

/** Notes that the audio of an erased session is gone. Its size, length and hash stay, its key does not. */
export async function recordingGone(pool: pg.Pool, sessionKey: number, objectKey: string): Promise<void> {
  await pool.query(
    `UPDATE recordings SET removed_at = clock_timestamp(), object_key = '', kept = true FROM sessions
     WHERE sessions.session_key = $1 AND recordings.project_id = sessions.project_id
       AND recordings.session_id = sessions.session_id AND object_key = $2 AND bytes IS NOT NULL`,
    [sessionKey, objectKey],
  );
}

/** How often peaks of one recording are tried to be made. */
const peaksTriesMax = 3;
/** So long a process has for the peaks of one recording; then another one may try. */
export const peaksLeaseMs = 5 * 60_000;

/** Takes a recording whose peaks are due; null: there is none. One that was tried too often has none for good. */
export async function claimPeaks(pool: pg.Pool): Promise<KeptRecording | null> {
  const { rows } = await pool.query<KeptRecording & { tries: number }>(
    `UPDATE recordings
     SET peaks_tries = peaks_tries + 1, peaks_due_at = clock_timestamp() + ${peaksLeaseMs} * interval '1 millisecond',
       peaks = CASE WHEN peaks_tries >= ${peaksTriesMax} THEN 'none' ELSE peaks END
     WHERE (project_id, session_id, object_key) = (
       SELECT project_id, session_id, object_key FROM recordings
       WHERE kept AND peaks = 'pending' AND removed_at IS NULL AND peaks_due_at <= clock_timestamp()
       ORDER BY peaks_due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
     RETURNING ${keptColumns}`,
  );
  return rows[0] ?? null;
}

/**
 * Notes what became of a recording's peaks, and what was learnt of its audio.
 *
 * @returns false when the session was erased or removed meanwhile: then the waveform has to go again.
 */
export async function peaksSettled(
  pool: pg.Pool,
  place: RecordingPlace,
  found: { readonly peaks: "made" | "none"; readonly sha256: string | null; readonly seconds: number | null },
): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE recordings SET peaks = $4, sha256 = coalesce(recordings.sha256, decode($5, 'hex')),
       seconds = coalesce(recordings.seconds, $6)
     FROM sessions
     WHERE ${here} AND sessions.project_id = recordings.project_id AND sessions.session_id = recordings.session_id
       AND sessions.recording_object_key = recordings.object_key`,
    [...hereOf(place), found.peaks, found.sha256, found.seconds],
  );
  return rowCount === 1;
}

/** Gives a claim back: nothing became of it, and another process may have it now. */
export async function releasePeaks(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  await pool.query(
    `UPDATE recordings SET peaks_tries = peaks_tries - 1, peaks_due_at = clock_timestamp()
     WHERE ${here} AND peaks_tries > 0`,
    hereOf(place),
  );
}

/** The same audio of another session, when its peaks are known: a runtime may report one object for many sessions. */
export async function sameAudio(pool: pg.Pool, recording: KeptRecording): Promise<KeptRecording | null> {
  const { rows } = await pool.query<KeptRecording>(
    `SELECT ${keptColumns} FROM recordings
     WHERE object_key = $1 AND session_id <> $2 AND bytes = $3 AND peaks <> 'pending' LIMIT 1`,
    [recording.objectKey, recording.sessionId, recording.bytes],
  );
  return rows[0] ?? null;
}
