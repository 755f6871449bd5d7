import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { call } from "../../api/http.ts";
import { logQuery, logsPath } from "../../api/queries.ts";
import type { Resend, WebhookLogDetail } from "../../api/types.ts";
import { bytes, length } from "../../format.ts";
import { DeliveryBadge, EventTag, OutcomeBadge } from "../../ui/badge.tsx";
import { Body } from "../../ui/body.tsx";
import { Button, buttonClass } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { Sheet } from "../../ui/dialog.tsx";
import { DownloadIcon, ResendIcon } from "../../ui/icons.tsx";
import { Moment } from "../../ui/moment.tsx";
import { ErrorNotice, Loading, Notice } from "../../ui/notice.tsx";
import { outcomeWords, triggerWords } from "../../words.ts";
import { curlOf } from "./curl.ts";
import { Steps } from "./steps.tsx";

interface AttemptSheetProps {
  readonly projectId: string;
  readonly logId: string;
  readonly onClose: () => void;
  readonly onShow: (logId: string) => void;
  readonly onResent: () => void;
}

/** One attempt: what was sent and what came back, side by side. */
export default function AttemptSheet({ projectId, logId, onClose, onResent }: AttemptSheetProps): ReactNode {
  const log = useQuery(logQuery(projectId, logId));
  return (
    <Sheet
      open
      onClose={onClose}
      title={
        log.data === undefined ? (
          "Attempt"
        ) : (
          <span className="flex flex-wrap items-center gap-x-2.5 gap-y-1">
            <EventTag event={log.data.event} />
            <OutcomeBadge outcome={log.data.outcome} status={log.data.responseStatus} />
          </span>
        )
      }
      note={
        log.data && (
          <>
            {triggerWords[log.data.trigger]} attempt {log.data.attempt}, <Moment at={log.data.attemptedAt} />
          </>
        )
      }
    >
      {log.data === undefined ? (
        log.error === null ? (
          <Loading what="the attempt" />
        ) : (
          <ErrorNotice error={log.error} retry={() => void log.refetch()} />
        )
      ) : (
        <Attempt projectId={projectId} log={log.data} onResent={onResent} />
      )}
    </Sheet>
  );
}

interface AttemptProps {
  readonly projectId: string;
  readonly log: WebhookLogDetail;
  readonly onResent: () => void;
}

function Attempt({ projectId, log, onResent }: AttemptProps): ReactNode {
  const path = `${logsPath(projectId)}/${encodeURIComponent(log.id)}`;
  const resend = useMutation({
    mutationFn: () => call<{ data: Resend }>("POST", `${path}/resend`),
    onSuccess: onResent,
  });
  return (
    <div className="space-y-5">
      <div className="flex flex-wrap gap-2">
        {log.trigger !== "test" && (
          <Button
            small
            kind="primary"
            busy={resend.isPending && "Resending ..."}
            onClick={() => resend.mutate()}
          >
            <ResendIcon className="size-3.5" />
            Resend
          </Button>
        )}
        <CopyButton text={() => curlOf(log)} what="the request as curl" label="Copy as curl" kind="plain" />
        {log.trigger !== "test" && (
          <Link
            to="/p/$projectId/sessions/$sessionId"
            params={{ projectId, sessionId: log.sessionId }}
            className={buttonClass("plain", true)}
          >
            Open the session
          </Link>
        )}
      </div>
      {resend.error !== null && <ErrorNotice error={resend.error} />}
      {resend.data !== undefined && (
        <Notice tone="ok">
          {resend.data.data.duplicate
            ? "A resend of this event was under way already."
            : `It is sent again as attempt ${resend.data.data.attempt}, with the same webhook-id.`}
        </Notice>
      )}
      <dl className="grid gap-x-6 gap-y-2 sm:grid-cols-[8rem_minmax(0,1fr)]">
        <Fact name="Endpoint">
          <code className="foreign font-mono text-[12.5px]">{log.url}</code>
        </Fact>
        <Fact name="Session">
          <code className="foreign font-mono text-[12.5px]">{log.sessionId}</code>
        </Fact>
        <Fact name="webhook-id">
          <code className="foreign font-mono text-[12.5px]">{log.webhookId}</code>
        </Fact>
        <Fact name="Delivery">
          {log.settledAs === null ? (
            "Is attempted again after this."
          ) : (
            <DeliveryBadge state={log.settledAs} />
          )}
        </Fact>
        <Fact name="What it means">
          {outcomeWords[log.outcome].meaning}
          {log.errorCode !== null && (
            <>
              {" "}
              <code className="font-mono text-[12.5px] text-bad">{log.errorCode}</code>
            </>
          )}
        </Fact>
      </dl>
      <Steps log={log} />
      <div className="grid gap-5 lg:grid-cols-2">
        <Side
          title="Request"
          size={log.requestBytes}
          raw={log.requestBody === null ? null : `${path}/raw/request`}
        >
          <HeaderList headers={[{ name: "POST", value: log.url }, ...log.requestHeaders]} />
          <Body
            text={log.requestBody}
            what="Body of the request"
            none="The body is not kept: the session was erased."
          />
        </Side>
        <Side
          title="Response"
          size={log.responseBytes}
          raw={log.responseBody === null || log.responseBody === "" ? null : `${path}/raw/response`}
        >
          <HeaderList
            headers={[
              {
                name: "status",
                value: log.responseStatus === null ? "none came" : String(log.responseStatus),
              },
              { name: "time", value: log.durationMs === null ? "not known" : length(log.durationMs) },
            ]}
          />
          <Body
            text={log.responseBody}
            what="Body of the response"
            none={log.responseStatus === null ? "No answer came." : "The answer had no body."}
          />
        </Side>
      </div>
      <p className="text-[13px] text-ink-3">
        Of an answer the first 4 KiB are kept, and no headers. The endpoint's own headers are those of now,
        masked.
      </p>
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }): ReactNode {
  return (
    <>
      <dt className="text-[13px] text-ink-3">{name}</dt>
      <dd className="min-w-0 max-sm:mb-1">{children}</dd>
    </>
  );
}

interface SideProps {
  readonly title: string;
  readonly size: number | null;
  readonly raw: string | null;
  readonly children: ReactNode;
}

function Side({ title, size, raw, children }: SideProps): ReactNode {
  return (
    <section aria-label={title} className="min-w-0 rounded-xl border border-line bg-surface shadow-card">
      <header className="flex h-11 items-center gap-2 border-b border-line px-3">
        <h3 className="flex-1 font-semibold">{title}</h3>
        {size !== null && <span className="numbers text-xs text-ink-3">{bytes(size)}</span>}
        {raw !== null && (
          <a className={buttonClass("quiet", true)} href={raw} download>
            <DownloadIcon className="size-3.5" />
            Raw
          </a>
        )}
      </header>
      {children}
    </section>
  );
}

export function HeaderList({ headers }: { headers: readonly { name: string; value: string }[] }): ReactNode {
  return (
    <dl className="grid grid-cols-[minmax(5rem,auto)_minmax(0,1fr)] gap-x-4 gap-y-0.5 border-b border-line px-3 py-2.5 font-mono text-xs">
      {headers.map(({ name, value }) => (
        <div key={`${name} ${value}`} className="contents">
          <dt className="foreign text-ink-3">{name.slice(0, 200)}</dt>
          <dd className="foreign">{value.slice(0, 2_048)}</dd>
        </div>
      ))}
    </dl>
  );
}
