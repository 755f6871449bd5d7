import type { EventName } from "@sendoff/contract";
import type { FrozenEvent } from "../outbox/append.ts";
import type { Subscriber } from "../outbox/subscribers.ts";
import type { Refusal } from "../refusal.ts";
import type { Report, Session } from "./session.ts";

/** What a report did, once it is committed. */
export interface Applied {
  readonly session: Session;
  /** True: the fact was known and nothing changed. */
  readonly duplicate: boolean;
  /** True: the report came after its deadline, is kept, and emitted nothing. */
  readonly late: boolean;
  /** Events that the report emitted, in order. */
  readonly events: readonly EventName[];
}

/** A report that waits for its commit. */
export interface Waiting {
  readonly projectId: string;
  readonly sessionId: string;
  readonly report: Report;
  /** About how much memory it takes. */
  readonly bytes: number;
  /** When it came, monotonic. */
  readonly sinceMs: number;
  /** How often it has lost its compare-and-set. */
  conflicts: number;
  resolve(applied: Applied): void;
  reject(error: unknown): void;
}

/** Reports of one session, decided one after another and stored by one change of its row. */
export interface Group {
  readonly waiting: Waiting[];
  readonly answers: Array<Applied | Refusal>;
  /** null: nothing changes. */
  readonly change: { readonly session: Session; readonly sessionKey: number } | null;
  readonly events: readonly FrozenEvent[];
}

/** A batch that is decided, and to whom its events may be owed. */
export interface Decided {
  readonly groups: readonly Group[];
  readonly subscribersOf: ReadonlyMap<string, readonly Subscriber[]>;
}

export const groupKey = (projectId: string, sessionId: string): string => `${projectId} ${sessionId}`;
