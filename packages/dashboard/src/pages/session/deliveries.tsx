import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { call } from "../../api/http.ts";
import { logsPath } from "../../api/queries.ts";
import type { Resend, SessionDetail, TimelineDelivery } from "../../api/types.ts";
import { DeliveryBadge, EventTag } from "../../ui/badge.tsx";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { ResendIcon } from "../../ui/icons.tsx";
import { ErrorNotice } from "../../ui/notice.tsx";
import { eventNames, unsentWords } from "../../words.ts";

interface DeliveriesProps {
  readonly projectId: string;
  readonly session: SessionDetail;
  readonly onResent: () => void;
  readonly onAttempt: (logId: string) => void;
}

const rank = (delivery: TimelineDelivery): number => eventNames.indexOf(delivery.event);

/** Where each delivery stands, with the means to send it again. */
export function Deliveries({ projectId, session, onResent, onAttempt }: DeliveriesProps): ReactNode {
  const { deliveries, attempts, events } = session.timeline;
  const resend = useMutation({
    mutationFn: (logId: string) =>
      call<{ data: Resend }>("POST", `${logsPath(projectId)}/${encodeURIComponent(logId)}/resend`),
    onSettled: onResent,
  });
  const unsent = events.filter(({ unsentReason }) => unsentReason !== null);
  const lastLog = ({ event, endpointId }: TimelineDelivery) =>
    attempts
      .filter((log) => log.event === event && log.endpointId === endpointId)
      .reduce<string | null>(
        (last, { id }) => (last === null || BigInt(id) > BigInt(last) ? id : last),
        null,
      );
  return (
    <Card flush title="Deliveries" note="Each event at each endpoint">
      {resend.error !== null && (
        <div className="p-3">
          <ErrorNotice error={resend.error} />
        </div>
      )}
      <ul>
        {[...deliveries]
          .sort((one, other) => rank(one) - rank(other))
          .map((delivery) => {
            const logId = lastLog(delivery);
            const settled = delivery.state !== "pending" && delivery.state !== "in_flight";
            return (
              <li
                key={`${delivery.event} ${delivery.endpointId}`}
                className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-2 last:border-0"
              >
                <div className="min-w-0 flex-1 basis-52">
                  <EventTag event={delivery.event} />
                  <p className="foreign truncate font-mono text-[11.5px] text-ink-3" title={delivery.url}>
                    {delivery.url}
                  </p>
                </div>
                <DeliveryBadge state={delivery.state} />
                {logId !== null && (
                  <Button small kind="quiet" onClick={() => onAttempt(logId)}>
                    {delivery.attempts === 1 ? "1 attempt" : `${delivery.attempts} attempts`}
                  </Button>
                )}
                {session.erasedAt === null && logId !== null && (
                  <Button
                    small
                    disabled={!settled}
                    busy={resend.isPending && resend.variables === logId && "Resending ..."}
                    onClick={() => resend.mutate(logId)}
                    aria-label={`Resend ${delivery.event}`}
                  >
                    <ResendIcon className="size-3.5" />
                    Resend
                  </Button>
                )}
              </li>
            );
          })}
        {unsent.map(({ event, unsentReason }) => (
          <li
            key={event}
            className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line px-4 py-2 last:border-0"
          >
            <div className="min-w-0 flex-1 basis-52">
              <EventTag event={event} />
              <p className="text-[13px] text-warn">{unsentReason !== null && unsentWords[unsentReason]}</p>
            </div>
            <Link to="/p/$projectId/settings" params={{ projectId }} className={buttonClass("plain", true)}>
              Set up webhooks
            </Link>
          </li>
        ))}
        {deliveries.length + unsent.length === 0 && (
          <li className="px-4 py-4 text-ink-3">
            Nothing was owed to an endpoint yet. Deliveries come with the first event.
          </li>
        )}
      </ul>
    </Card>
  );
}
