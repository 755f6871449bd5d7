import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Overview } from "../../api/types.ts";
import { count, length, percent } from "../../format.ts";
import { Card } from "../../ui/card.tsx";

interface WorstEndpointsProps {
  readonly projectId: string;
  readonly endpoints: Overview["worstEndpoints"];
}

export function WorstEndpoints({ projectId, endpoints }: WorstEndpointsProps): ReactNode {
  return (
    <Card flush title="Endpoints" note="Those with the most failures first">
      <table className="w-full table-fixed text-left">
        <thead>
          <tr className="border-b border-line text-xs text-ink-3">
            <th scope="col" className="h-9 px-4 font-medium">
              Endpoint
            </th>
            <th scope="col" className="w-20 px-2 text-right font-medium">
              Failed
            </th>
            <th scope="col" className="w-24 px-2 text-right font-medium max-sm:hidden">
              Attempts
            </th>
            <th scope="col" className="w-24 px-2 text-right font-medium max-sm:hidden">
              Mean
            </th>
            <th scope="col" className="w-24 px-4 text-right font-medium">
              Success
            </th>
          </tr>
        </thead>
        <tbody>
          {endpoints.map(({ endpointId, url, kind, removed, attempts, failed, meanMs, successRate }) => (
            <tr key={endpointId} className="border-b border-line last:border-0 hover:bg-sunken">
              <td className="px-4 py-2">
                <Link
                  to="/p/$projectId/logs"
                  params={{ projectId }}
                  search={{ endpointId }}
                  title={url}
                  className="foreign block truncate rounded font-mono text-[12.5px] hover:underline"
                >
                  {url.slice(0, 300)}
                </Link>
                <span className="text-xs text-ink-3">
                  {kind === "agent" ? "Agent's webhook" : "Project webhook"}
                  {removed && ", removed"}
                </span>
              </td>
              <td className={`numbers px-2 text-right ${failed > 0 ? "font-medium text-bad" : "text-ink-2"}`}>
                {count(failed)}
              </td>
              <td className="numbers px-2 text-right text-ink-2 max-sm:hidden">{count(attempts)}</td>
              <td className="numbers px-2 text-right text-ink-2 max-sm:hidden">
                {meanMs === null ? "" : length(meanMs)}
              </td>
              <td className="numbers px-4 text-right">{successRate === null ? "" : percent(successRate)}</td>
            </tr>
          ))}
          {endpoints.length === 0 && (
            <tr>
              <td colSpan={5} className="px-4 py-4 text-ink-3">
                No attempt was made in this time.
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </Card>
  );
}
