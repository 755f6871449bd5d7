import type pg from "pg";
import { here, hereOf, type KeptRecording, keptColumns, type RecordingPlace } from "./table.ts";

/** How often peaks of one recording are tried to be made. */
const peaksTriesMax = 3;
/** So long a process has for the peaks of one recording; then another one may try. */
export const peaksLeaseMs = 5 * 60_000;

const due = "kept AND peaks = 'pending' AND removed_at IS NULL AND peaks_due_at <= clock_timestamp()";
/** Below every id of a project. */
const noProject = "00000000-0000-0000-0000-000000000000";

/**
 * Takes a recording whose peaks are due, of the next project that has one: each has its turn, however many recordings
 * another one has. One that was tried too often has none for good.
 *
 * @param last project that had its turn; null: begin anew.
 * @param busy projects that have a recording under way in this process already.
 * @returns null: there is none.
 */
export async function claimPeaks(
  pool: pg.Pool,
  last: string | null,
  busy: ReadonlySet<string>,
): Promise<KeptRecording | null> {
  for (const [from, to] of last === null
    ? [[noProject, null]]
    : [
        [last, null],
        [noProject, last],
      ]) {
    for (let behind = from as string; ; ) {
      const project = await nextDue(pool, behind, to as string | null);
      if (project === null) break;
      const claimed = busy.has(project) ? null : await claimOf(pool, project);
      if (claimed !== null) return claimed;
      behind = project;
    }
  }
  return null;
}

/** The first project behind another one, up to a last one, that has a recording whose peaks are due. */
async function nextDue(pool: pg.Pool, behind: string, to: string | null): Promise<string | null> {
  const { rows } = await pool.query<{ projectId: string }>(
    `SELECT project_id AS "projectId" FROM recordings
     WHERE ${due} AND project_id > $1 AND ($2::uuid IS NULL OR project_id <= $2)
     ORDER BY project_id LIMIT 1`,
    [behind, to],
  );
  return rows[0]?.projectId ?? null;
}

async function claimOf(pool: pg.Pool, projectId: string): Promise<KeptRecording | null> {
  const { rows } = await pool.query<KeptRecording>(
    `UPDATE recordings
     SET peaks_tries = peaks_tries + 1, peaks_due_at = clock_timestamp() + ${peaksLeaseMs} * interval '1 millisecond',
       peaks = CASE WHEN peaks_tries >= ${peaksTriesMax} THEN 'none' ELSE peaks END
     WHERE (project_id, session_id, object_key) = (
       SELECT project_id, session_id, object_key FROM recordings
       WHERE ${due} AND project_id = $1
       ORDER BY peaks_due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
     RETURNING ${keptColumns}`,
    [projectId],
  );
  return rows[0] ?? null;
}

/** Keeps a claim while its recording is read. */
export async function renewPeaks(pool: pg.Pool, place: RecordingPlace): Promise<void> {
  await pool.query(
    `UPDATE recordings SET peaks_due_at = clock_timestamp() + ${peaksLeaseMs} * interval '1 millisecond'
     WHERE ${here} AND peaks = 'pending'`,
    hereOf(place),
  );
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
