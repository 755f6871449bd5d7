import type pg from "pg";

type Work<Result> = (client: pg.PoolClient) => Promise<Result>;

/** Runs `work` in one transaction: committed when it ends, undone when it throws. */
export const inTransaction = <Result>(pool: pg.Pool, work: Work<Result>): Promise<Result> =>
  between("BEGIN", pool, work);

/** Runs `work`, which only reads, so that all its statements see what was committed at one and the same moment. */
export const inSnapshot = <Result>(pool: pg.Pool, work: Work<Result>): Promise<Result> =>
  between("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", pool, work);

async function between<Result>(begin: string, pool: pg.Pool, work: Work<Result>): Promise<Result> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query(begin);
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    // A connection that cannot even roll back is not given back to the pool.
    await client.query("ROLLBACK").catch((reason: Error) => {
      broken = reason;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
