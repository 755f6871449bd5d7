// Which keys sealed this database before the present one, in the order of their first use. A process that still seals
// with one of them must not seal the others' values anew with it: while a rotation is rolled out, two processes would
// undo each other's work.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE installation ADD COLUMN former_secret_key_ids text[] NOT NULL DEFAULT '{}'`.execute(
    db,
  );
}
