import { useEffect, useState } from "react";
import { withQuery } from "../../api/http.ts";
import { type LogFilters, logsPath } from "../../api/queries.ts";
import type { WebhookLog } from "../../api/types.ts";

/** Rows that are kept of what came; older ones are in the list below after a reload. */
const keptMax = 500;
/** Rows come in bursts: they are shown together this often at most, in ms. */
const showEveryMs = 200;

interface Tail {
  /** Newest first. */
  readonly rows: readonly WebhookLog[];
  readonly state: "closed" | "open" | "broken";
}

/** The attempts that fit the filters, as they are written: a stream of server-sent events. */
export function useTail(projectId: string, { from: _from, ...filters }: LogFilters, on: boolean): Tail {
  const address = withQuery(logsPath(projectId), filters);
  const [tail, setTail] = useState<Tail & { address: string }>({ rows: [], state: "closed", address });
  useEffect(() => {
    if (!on) {
      setTail((before) => ({ ...before, state: "closed" }));
      return;
    }
    setTail((before) => ({ rows: before.address === address ? before.rows : [], state: "closed", address }));
    const source = new EventSource(address);
    let waiting: WebhookLog[] = [];
    let clock: ReturnType<typeof setTimeout> | null = null;
    const show = () => {
      clock = null;
      const [fresh, seen] = [waiting, new Set<string>()];
      waiting = [];
      setTail((before) => ({
        ...before,
        rows: [...fresh.reverse(), ...before.rows]
          .filter(({ id }) => !seen.has(id) && seen.add(id))
          .slice(0, keptMax),
      }));
    };
    source.addEventListener("open", () => setTail((before) => ({ ...before, state: "open" })));
    source.addEventListener("error", () => setTail((before) => ({ ...before, state: "broken" })));
    source.addEventListener("attempt", (event: MessageEvent<string>) => {
      waiting.push(JSON.parse(event.data) as WebhookLog);
      clock ??= setTimeout(show, showEveryMs);
    });
    return () => {
      source.close();
      if (clock !== null) clearTimeout(clock);
    };
  }, [address, on]);
  return tail;
}
