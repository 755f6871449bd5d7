// The token that reads an inspector stood in the URL of the webhook that points there, and the header values that an
// inspector got stood in its table. Now the URL has the SHA-256 of the token (egress/inspector-url.ts), which takes posts
// only, and values that may be secrets are masked before they are stored (inspector/headers.ts).
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    UPDATE endpoints
    SET url = left(url, -32) || translate(encode(sha256(convert_to(right(url, 32), 'UTF8')), 'base64'), '+/=', '-_')
    WHERE url ~ '/inspect/[A-Za-z0-9_-]{32}$'
      AND EXISTS (SELECT FROM inspectors WHERE token_hash = sha256(convert_to(right(url, 32), 'UTF8')))`.execute(
    db,
  );
  await sql`
    UPDATE inspector_requests SET headers = (
      SELECT coalesce(json_object_agg(key, CASE
        WHEN key IN ('accept', 'accept-encoding', 'connection', 'content-encoding', 'content-length', 'content-type',
          'date', 'host', 'sendoff-attempt', 'sendoff-trigger', 'transfer-encoding', 'user-agent', 'webhook-id',
          'webhook-signature', 'webhook-timestamp') THEN value
        WHEN length(value) > 8 THEN '••••' || right(value, 4)
        ELSE '••••' END)::text, '{}')
      FROM json_each_text(headers::json))`.execute(db);
}
