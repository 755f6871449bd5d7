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
export const here =
  "recordings.project_id = $1 AND recordings.session_id = $2 AND recordings.object_key = $3";
export const hereOf = ({ projectId, sessionId, objectKey }: RecordingPlace): string[] => [
  projectId,
  sessionId,
  objectKey,
];

const dead = `alive_at < clock_timestamp() - ${deadUploadMs} * interval '1 millisecond'`;

/** Notes an upload before its first byte is stored: from now on somebody will remove what is left of it. */
export async function beginUpload(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  // The row of the project's use is there before anybody locks it (takeRoom).
  await pool.query("INSERT INTO recording_use (project_id) VALUES ($1) ON CONFLICT DO NOTHING", [
    place.projectId,
  ]);
  await pool.query(
    `INSERT INTO recordings (object_key, project_id, session_id, uploaded) VALUES ($1, $2, $3, true)`,
    [place.objectKey, place.projectId, place.sessionId],
  );
}

/** What of a project's room is used, in bytes: by stored uploads, and by those under way in all processes. */
export async function readUse(pool: pg.Pool, projectId: string): Promise<number> {
  const { rows } = await pool.query<{ bytes: number }>(
    "SELECT bytes FROM recording_use WHERE project_id = $1",
    [projectId],
  );
  return rows[0]?.bytes ?? 0;
}

/**
 * Takes more of a project's room for an upload, exactly: the row of the project is locked, and the trigger on
 * `recordings` adds to it what the upload holds.
 *
 * @returns whether there was room. No, too, when the upload was taken for dead and its row removed.
 */
export async function takeRoom(
  pool: pg.Pool,
  place: RecordingPlace,
  bytes: number,
  roomBytes: number,
): Promise<boolean> {
  const { rowCount } = await pool.query(
    `WITH used AS MATERIALIZED (SELECT bytes FROM recording_use WHERE project_id = $1 FOR UPDATE)
     UPDATE recordings SET held_bytes = held_bytes + $4 FROM used
     WHERE ${here} AND used.bytes + $4 <= $5`,
    [...hereOf(place), bytes, roomBytes],
  );
  return rowCount === 1;
}

/** A sign of life of an upload. */
export async function uploadAlive(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  await pool.query(`UPDATE recordings SET alive_at = clock_timestamp() WHERE ${here}`, hereOf(place));
}

/** Notes what was stored. @returns false when the upload was taken for dead, and its object removed. */
export async function uploadStored(
  pool: pg.Pool,
  place: RecordingPlace,
  facts: Pick<AudioFacts, "contentType" | "bytes"> & { readonly sha256: string },
): Promise<boolean> {
  const { rowCount } = await pool.query(
    `UPDATE recordings
     SET alive_at = clock_timestamp(), content_type = $4, bytes = $5, held_bytes = $5,
       sha256 = decode($6, 'hex')
     WHERE ${here}`,
    [...hereOf(place), facts.contentType, facts.bytes, facts.sha256],
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

export const keptColumns = `recordings.object_key AS "objectKey", recordings.project_id AS "projectId",
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
    `UPDATE recordings SET removed_at = clock_timestamp(), object_key = '', kept = true, held_bytes = 0 FROM sessions
     WHERE sessions.session_key = $1 AND recordings.project_id = sessions.project_id
       AND recordings.session_id = sessions.session_id AND object_key = $2 AND bytes IS NOT NULL`,
    [sessionKey, objectKey],
  );
}
