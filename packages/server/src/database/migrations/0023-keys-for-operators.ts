// What an operator sees of a key: how it begins, so that a key at hand is found in the list, and when it was last used, so
// that it can be told whether somebody still needs it. 36 of a key's 256 random bits are no help to whoever reads them.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  // NULL for keys that were made before, and by processes of the version before.
  await sql`
    ALTER TABLE api_keys
      ADD COLUMN prefix text CHECK (prefix ~ '^(dk|sk)_[A-Za-z0-9_-]{6}$'),
      ADD COLUMN last_used_at timestamptz`.execute(db);
}
