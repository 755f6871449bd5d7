import { durationMs, overlapBounds, type RotatedSecret, type RotateSecret } from "@sendoff/contract";
import type pg from "pg";
import { inTransaction } from "../database/transaction.ts";
import { Refusal } from "../refusal.ts";
import type { Sealer } from "../secrets/seal.ts";
import { createSigningSecret } from "../secrets/signature.ts";
import { secretSeal } from "./endpoints.ts";

/** Most secrets that sign beside the newest: a receiver's header stays short. Migration 0009 has it as a constraint. */
const oldSecretsMax = 2;

interface OldSecret {
  readonly sealed: string;
  readonly until: Date;
}

/**
 * Gives an endpoint a new signing secret. Those it has had sign along for the overlap; one that was to end earlier ends
 * when it was to. Times are the database's. The claim of each attempt reads which of them still sign (outbox/claim.ts).
 *
 * @returns the new secret, once; null when the endpoint is not there.
 * @throws Refusal too_many_secrets when more than two old ones would sign along.
 */
export function rotateSecret(
  pool: pg.Pool,
  sealer: Sealer,
  endpointId: string,
  { overlap = overlapBounds.default }: RotateSecret,
): Promise<RotatedSecret | null> {
  return inTransaction(pool, async (client) => {
    const { rows } = await client.query<{ sealed: string; olds: string[]; untils: Date[] }>(
      `SELECT secret_sealed AS sealed, old_secrets_sealed AS olds, old_secrets_until AS untils
       FROM endpoints WHERE endpoint_id = $1 AND removed_at IS NULL FOR UPDATE`,
      [endpointId],
    );
    const endpoint = rows[0];
    if (endpoint === undefined) return null;
    const now = await databaseTime(client);
    const until = new Date(now.getTime() + durationMs(overlap));
    const older = endpoint.olds.map((sealed, index) => ({ sealed, until: endpoint.untils[index] as Date }));
    const signing = signAlong([{ sealed: endpoint.sealed, until }, ...older], now, until);
    const signingSecret = createSigningSecret();
    await client.query(
      `UPDATE endpoints SET secret_sealed = $2, old_secrets_sealed = $3, old_secrets_until = $4, updated_at = now()
       WHERE endpoint_id = $1`,
      [
        endpointId,
        await sealer.seal(secretSeal(endpointId), signingSecret),
        signing.map(({ sealed }) => sealed),
        signing.map((old) => old.until),
      ],
    );
    return { signingSecret, oldSecretEndsAt: until > now ? until.toISOString() : null };
  });
}

async function databaseTime(client: pg.PoolClient): Promise<Date> {
  const { rows } = await client.query<{ now: Date }>("SELECT clock_timestamp() AS now");
  return (rows[0] as { now: Date }).now;
}

/** Which of the secrets so far sign along, and until when: none for longer than before, none for longer than `latest`. */
function signAlong(secrets: readonly OldSecret[], now: Date, latest: Date): OldSecret[] {
  const signing = secrets
    .map(({ sealed, until }) => ({ sealed, until: until < latest ? until : latest }))
    .filter(({ until }) => until > now);
  if (signing.length <= oldSecretsMax) return signing;
  const ends = signing.slice(1).map(({ until }) => until.toISOString());
  throw new Refusal(
    "too_many_secrets",
    `${oldSecretsMax} old secrets sign along already, until ${ends.join(" and ")}. Rotate after that, or end them now with {"overlap": "0s"}.`,
  );
}

/** The signing secrets in clear that a project's endpoints sign with now: of each the newest, and those that sign along. */
export async function signingSecretsOf(pool: pg.Pool, sealer: Sealer, projectId: string): Promise<string[]> {
  const { rows } = await pool.query<{ endpointId: string; sealed: string[] }>(
    `SELECT endpoint_id AS "endpointId", array_prepend(secret_sealed, ARRAY(
       SELECT old.sealed FROM unnest(old_secrets_sealed, old_secrets_until) AS old (sealed, until) WHERE until > now()
     )) AS sealed
     FROM endpoints WHERE project_id = $1 AND removed_at IS NULL`,
    [projectId],
  );
  const opened = rows.map(({ endpointId, sealed }) =>
    Promise.all(sealed.map((one) => sealer.open(secretSeal(endpointId), one))),
  );
  return (await Promise.all(opened)).flat();
}
