import type { SessionErasure } from "@sendoff/contract";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import { removeRequests } from "../inspector/inspector.ts";
import { type ErasedSession, eraseSession } from "../lifecycle/erase.ts";
import type { Logger } from "../log.ts";
import { eraseResponses } from "../logbook/erase.ts";
import { type ErasedOutbox, eraseOutbox, webhookIdsOf } from "../outbox/erase.ts";
import type { RecordingStore } from "../recordings/store.ts";
import { removeRecordings } from "./recordings.ts";

export interface ErasureParts {
  readonly pool: pg.Pool;
  readonly log: Logger;
  readonly recordings: Pick<RecordingStore, "remove">;
}

/** A deadlock is undone by PostgreSQL on one of its sides; trying again is all that it takes. */
const triesMax = 5;

/**
 * Erases a session's data (ADR 0025): first all that is in the tables, in one transaction; then what lies outside of it,
 * the audio and what the built-in inspector received. When the second half fails, the same call again goes on with it,
 * and so does the hourly round of retention for the audio.
 *
 * @returns what was erased now; null when there is no such session.
 */
export async function erase(
  parts: ErasureParts,
  projectId: string,
  sessionId: string,
): Promise<SessionErasure | null> {
  const done = await emptyTables(parts.pool, projectId, sessionId);
  if (done === null) return null;
  const { session, outbox, responses } = done;
  const removed = await removeRecordings(parts, session.sessionKey);
  const webhookIds = await webhookIdsOf(parts.pool, session.sessionKey);
  const inspectorRequests = await removeRequests(parts.pool, webhookIds);
  const answer: SessionErasure = {
    sessionId,
    erasedAt: session.erasedAt.toISOString(),
    alreadyErased: session.before,
    erased: {
      variables: session.variables,
      lateFacts: session.lateFacts,
      payloads: outbox.payloads,
      responseBodies: responses,
      inspectorRequests,
      recording: removed > 0,
    },
    deliveries: { cancelled: outbox.cancelled, inFlight: outbox.inFlight },
  };
  parts.log.info({ event: "session.erased", projectId, ...answer });
  return answer;
}

interface Emptied {
  readonly session: ErasedSession;
  readonly outbox: ErasedOutbox;
  readonly responses: number;
}

async function emptyTables(pool: pg.Pool, projectId: string, sessionId: string): Promise<Emptied | null> {
  for (let tries = 1; ; tries++) {
    try {
      return await inTransaction(pool, async (client) => {
        const session = await eraseSession(client, projectId, sessionId);
        if (session === null) return null;
        const outbox = await eraseOutbox(client, session.sessionKey);
        return { session, outbox, responses: await eraseResponses(client, session.sessionKey) };
      });
    } catch (error) {
      const deadlock = (error as { code?: string }).code === "40P01";
      if (!deadlock || tries >= triesMax) throw error;
    }
  }
}
