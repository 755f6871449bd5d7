import type { InfiniteData } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { call } from "../../api/http.ts";
import { inspectorPath, type Page } from "../../api/queries.ts";
import type { ProjectInspectedRequest } from "../../api/types.ts";

const everyMs = 1_000;
const keptMax = 300;

/** Requests that came after the list was read, newest first; asked for every second while the page is looked at. */
export function useArrivals(
  projectId: string,
  list: InfiniteData<Page<ProjectInspectedRequest>, unknown> | undefined,
): readonly ProjectInspectedRequest[] {
  const [arrived, setArrived] = useState<readonly ProjectInspectedRequest[]>([]);
  const latest = useRef<string | null>(null);
  const first = list?.pages[0]?.data[0]?.id ?? (list === undefined ? null : "0");
  useEffect(() => {
    if (first === null) return;
    if (latest.current === null || BigInt(first) > BigInt(latest.current)) latest.current = first;
    const stop = new AbortController();
    const ask = async () => {
      if (document.hidden) return;
      try {
        const { data } = await call<Page<ProjectInspectedRequest>>("GET", inspectorPath(projectId), {
          query: { after: latest.current ?? "0", limit: 200 },
          signal: stop.signal,
        });
        const last = data.at(-1);
        if (last === undefined) return;
        latest.current = last.id;
        setArrived((before) => [...data.toReversed(), ...before].slice(0, keptMax));
      } catch {
        // The next one may work; what stays broken is told by the list.
      }
    };
    const clock = setInterval(() => void ask(), everyMs);
    return () => {
      stop.abort();
      clearInterval(clock);
    };
  }, [projectId, first]);
  return arrived;
}
