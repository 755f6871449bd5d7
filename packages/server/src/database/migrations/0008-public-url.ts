// Where the API of this installation is reached. It knows its own address; a worker in another process, which puts links
// to recordings into what it sends, has it from here.
import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`ALTER TABLE installation ADD COLUMN public_url text`.execute(db);
}
