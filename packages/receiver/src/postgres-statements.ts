// Every statement of the PostgreSQL store. Events are only ever inserted (but for a fresh link), and work is a small table
// from which what is done is deleted. Handlers' transactions lock rows of work alone, which no request touches: a
// handler that takes long can make nobody wait for an answer.

/** Makes the tables. The lock keeps two processes that start together from making them both. */
export const setUpStatements: readonly string[] = [
  "SELECT pg_advisory_xact_lock(7365646, 1)",
  `CREATE TABLE IF NOT EXISTS sendoff_events (
     name text NOT NULL,
     session text NOT NULL,
     event text NOT NULL,
     number bigint GENERATED ALWAYS AS IDENTITY,
     body text NOT NULL,
     digest text NOT NULL,
     webhook_id text NOT NULL,
     received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
     PRIMARY KEY (name, session, event)
   )`,
  "CREATE INDEX IF NOT EXISTS sendoff_events_received ON sendoff_events USING brin (received_at)",
  `CREATE TABLE IF NOT EXISTS sendoff_work (
     id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
     name text NOT NULL,
     session text NOT NULL,
     event text NOT NULL,
     kind text NOT NULL CHECK (kind IN ('event', 'look')),
     due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
     attempts integer NOT NULL DEFAULT 0,
     fence bigint NOT NULL DEFAULT 0,
     error text,
     dead_at timestamptz
   ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)`,
  "CREATE INDEX IF NOT EXISTS sendoff_work_due ON sendoff_work (name, due_at) WHERE dead_at IS NULL",
  "CREATE INDEX IF NOT EXISTS sendoff_work_dead ON sendoff_work (name, id) WHERE dead_at IS NOT NULL",
];

/**
 * Name; arrays of session, event, body, digest, webhook id, and whether there is to be work of either kind. Sorted by key,
 * so that two processes with the same events wait for each other in one order.
 */
export const accept = `
  WITH given AS (
    SELECT * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::boolean[])
      WITH ORDINALITY AS given (session, event, body, digest, webhook_id, has_event, has_look, place)
  ), inserted AS (
    INSERT INTO sendoff_events (name, session, event, body, digest, webhook_id)
    SELECT $1, session, event, body, digest, webhook_id FROM given ORDER BY session, event
    ON CONFLICT DO NOTHING
    RETURNING session, event
  ), work AS (
    INSERT INTO sendoff_work (name, session, event, kind)
    SELECT $1, session, event, kind
    FROM given JOIN inserted USING (session, event)
      CROSS JOIN LATERAL (VALUES ('event', has_event), ('look', has_look)) AS wanted (kind, is_wanted)
    WHERE is_wanted
  )
  SELECT CASE
      WHEN inserted.session IS NOT NULL THEN 'new'
      WHEN before.digest <> given.digest THEN 'conflict'
      ELSE 'duplicate' END AS accepted
  FROM given
    LEFT JOIN inserted USING (session, event)
    LEFT JOIN sendoff_events AS before
      ON before.name = $1 AND before.session = given.session AND before.event = given.event
  ORDER BY place`;

/** The same event came again with a fresh link: name, and arrays of session, event, body. Only while there is work for it. */
export const refresh = `
  UPDATE sendoff_events SET body = given.body
  FROM unnest($2::text[], $3::text[], $4::text[]) AS given (session, event, body)
  WHERE sendoff_events.name = $1 AND sendoff_events.session = given.session
    AND sendoff_events.event = given.event AND sendoff_events.body <> given.body
    AND EXISTS (SELECT FROM sendoff_work AS work
      WHERE work.name = $1 AND work.session = given.session AND work.event = given.event)`;

/** Name, limit, lease in ms. */
export const claim = `
  WITH due AS (
    SELECT id FROM sendoff_work
    WHERE name = $1 AND dead_at IS NULL AND due_at <= clock_timestamp()
    ORDER BY due_at LIMIT $2
    FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE sendoff_work AS work
    SET due_at = clock_timestamp() + $3 * interval '1 millisecond', attempts = attempts + 1, fence = fence + 1
    FROM due WHERE work.id = due.id
    RETURNING work.id, work.kind, work.session, work.event, work.attempts, work.fence
  )
  SELECT claimed.*, body, webhook_id,
    extract(epoch FROM clock_timestamp() - received_at)::float8 * 1000 AS age_ms
  FROM claimed JOIN sendoff_events AS events
    ON events.name = $1 AND events.session = claimed.session AND events.event = claimed.event
  ORDER BY claimed.id`;

const held = "unnest($1::bigint[], $2::bigint[]) AS held (id, fence)";

/**
 * Ids, fences, lease in ms. A row that a handler's own transaction has locked is held and must not be waited for: that
 * transaction may last.
 */
export const extend = `
  WITH mine AS (
    SELECT work.id FROM sendoff_work AS work JOIN ${held} ON held.id = work.id AND held.fence = work.fence
    WHERE dead_at IS NULL
  ), free AS (
    SELECT id FROM sendoff_work WHERE id IN (SELECT id FROM mine) FOR UPDATE SKIP LOCKED
  ), renewed AS (
    UPDATE sendoff_work SET due_at = clock_timestamp() + $3 * interval '1 millisecond'
    WHERE id IN (SELECT id FROM free)
  )
  SELECT id FROM mine`;

/** Ids, fences. Answers the ids of those that were still held. */
export const done = `
  DELETE FROM sendoff_work AS work USING ${held}
  WHERE work.id = held.id AND work.fence = held.fence AND dead_at IS NULL
  RETURNING work.id`;

/** Id, fence, pause in ms, error or null. */
export const again = `
  UPDATE sendoff_work SET due_at = clock_timestamp() + $3 * interval '1 millisecond', fence = fence + 1,
    error = coalesce($4, error), attempts = attempts - CASE WHEN $4::text IS NULL THEN 1 ELSE 0 END
  WHERE id = $1 AND fence = $2 AND dead_at IS NULL`;

/** Id, fence, error. */
export const bury = `
  UPDATE sendoff_work SET dead_at = clock_timestamp(), error = $3
  WHERE id = $1 AND fence = $2 AND dead_at IS NULL`;

/** Name, session. */
export const session = `
  SELECT event, body, extract(epoch FROM clock_timestamp() - received_at)::float8 * 1000 AS age_ms
  FROM sendoff_events WHERE name = $1 AND session = $2 ORDER BY number`;

/** Id, fence, name, session, event, body. */
export const join = `
  WITH looked AS (
    DELETE FROM sendoff_work WHERE id = $1 AND fence = $2 RETURNING id
  ), inserted AS (
    INSERT INTO sendoff_events (name, session, event, body, digest, webhook_id)
    SELECT $3, $4, $5, $6, '', '' FROM looked
    ON CONFLICT DO NOTHING RETURNING event
  )
  INSERT INTO sendoff_work (name, session, event, kind) SELECT $3, $4, event, 'event' FROM inserted`;

/** Name, limit. */
export const dead = `
  SELECT work.id, work.session, work.event, body, attempts, error
  FROM sendoff_work AS work JOIN sendoff_events AS events
    ON events.name = work.name AND events.session = work.session AND events.event = work.event
  WHERE work.name = $1 AND dead_at IS NOT NULL ORDER BY dead_at, work.id LIMIT $2`;

/** Name, id. */
export const revive = `
  UPDATE sendoff_work SET dead_at = NULL, attempts = 0, due_at = clock_timestamp()
  WHERE name = $1 AND id = $2 AND dead_at IS NOT NULL RETURNING id`;

/** Name, age in ms. A session is forgotten when none of its events has work left. */
export const forget = `
  WITH old AS (
    SELECT ctid FROM sendoff_events AS events
    WHERE name = $1 AND received_at < clock_timestamp() - $2 * interval '1 millisecond'
      AND NOT EXISTS (SELECT FROM sendoff_work AS work WHERE work.name = $1 AND work.session = events.session)
    LIMIT 10000
  )
  DELETE FROM sendoff_events WHERE ctid IN (SELECT ctid FROM old)`;
