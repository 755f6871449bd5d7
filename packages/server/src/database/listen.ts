import pg from "pg";
import type { Logger } from "../log.ts";
import type { Connection } from "./pool.ts";

/** Told on each commit that made a delivery due. A hint only: every listener polls as well. */
export const dueChannel = "sendoff_deliveries_due";

export interface Listener {
  stop(): Promise<void>;
}

/** Pause before a lost LISTEN connection is opened again. Meanwhile polling finds what is due. */
const reconnectMs = 1_000;

/**
 * Calls `onNotify` for each NOTIFY on the channel, over a connection of its own that is opened again when it is lost.
 *
 * @param onConnect a statement that each such connection begins with; what it locks is held while the connection lives.
 */
export function listen(
  connection: Connection,
  channel: string,
  onNotify: (payload: string) => void,
  log: Logger,
  onConnect = "SELECT 1",
): Listener {
  let client: pg.Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const connect = async (): Promise<void> => {
    const own = new pg.Client({ application_name: "sendoff listen", keepAlive: true, ...connection });
    client = own;
    const lost = (reason: string): void => {
      if (stopped || client !== own) return;
      client = undefined;
      log.warn({ event: "database.listen_lost", reason });
      own.end().catch(() => {});
      timer = setTimeout(() => void connect(), reconnectMs);
    };
    own.on("error", (error) => lost(error.message));
    own.on("end", () => lost("the connection ended"));
    own.on("notification", ({ payload }) => onNotify(payload ?? ""));
    try {
      await own.connect();
      await own.query(onConnect);
      await own.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      // What was notified while nobody listened is found by looking once.
      onNotify("");
    } catch (error) {
      lost(error instanceof Error ? error.message : String(error));
    }
  };
  void connect();

  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await client?.end().catch(() => {});
    },
  };
}
