import type { Project } from "./endpoints.ts";
import { textConversation } from "./endpoints.ts";
import type { Stage } from "./stage.ts";
import { msNs, nowNs, sleep } from "./time.ts";

export interface LoadOptions {
  readonly projects: readonly Project[];
  readonly reportsPerSecond: number;
  readonly seconds: number;
  /** Begins the ids of the sessions, which must be new. */
  readonly prefix: string;
  readonly onPart?: (share: number) => void;
}

/** An event that a report emitted, and when that report was sent and answered. */
export interface Emitted {
  readonly project: Project;
  readonly event: string;
  /** `<sessionId> <event>`, as the sink names what arrives. */
  readonly key: string;
  readonly sentNs: number;
  readonly answeredNs: number;
}

export interface Load {
  readonly emitted: readonly Emitted[];
  readonly reports: number;
  /** Reports that were not answered 200. */
  readonly failed: number;
  /** How much later than planned each report was sent, in milliseconds: what the load itself is off by. */
  readonly latenessMs: readonly number[];
}

interface PlannedReport {
  readonly project: Project;
  readonly sessionId: string;
  readonly type: "conversation-ended" | "call-ended";
  readonly body: string;
}

/** In this many reports the conversation's report follows the call's, so that the one is mostly delivered by then. */
const reportsBetween = 60;
const textBody = JSON.stringify(textConversation);
const callConversationBody = JSON.stringify({ ...textConversation, channel: "call" });
const callBody = JSON.stringify({ callStatus: "userHangup", callDuration: 41.5 });

/**
 * Text sessions (one report) and call sessions (two reports) in turn, over all projects in turn. Of three reports one
 * ends a text session, one a call, and one a call's conversation.
 */
function* plan(projects: readonly Project[], prefix: string): Generator<PlannedReport, never> {
  const waiting: PlannedReport[] = [];
  for (let index = 0; ; index++) {
    const project = projects[index % projects.length];
    if (project === undefined) throw new Error("A load needs a project.");
    yield { project, sessionId: `${prefix}-t${index}`, type: "conversation-ended", body: textBody };
    const sessionId = `${prefix}-c${index}`;
    yield { project, sessionId, type: "call-ended", body: callBody };
    waiting.push({ project, sessionId, type: "conversation-ended", body: callConversationBody });
    const oldest = waiting.length * 3 > reportsBetween ? waiting.shift() : undefined;
    if (oldest !== undefined) yield oldest;
  }
}

/** Sends reports at a rate that does not yield to the server: a slow answer delays no other report. */
export async function runLoad(stage: Stage, options: LoadOptions): Promise<Load> {
  const { reportsPerSecond, seconds, prefix, onPart } = options;
  const total = Math.round(reportsPerSecond * seconds);
  const planned = plan(options.projects, prefix);
  const emitted: Emitted[] = [];
  const latenessMs: number[] = [];
  let failed = 0;
  const answers: Array<Promise<void>> = [];
  const beganNs = nowNs();
  for (let sent = 0; sent < total; ) {
    const dueNs = beganNs + (sent * 1e9) / reportsPerSecond;
    if (nowNs() < dueNs) {
      onPart?.(sent / total);
      await sleep(1);
      continue;
    }
    latenessMs.push((nowNs() - dueNs) / msNs);
    const report = planned.next().value;
    answers.push(
      send(stage, report).then(
        (events) => void emitted.push(...events),
        () => {
          failed += 1;
        },
      ),
    );
    sent += 1;
  }
  await Promise.all(answers);
  return { emitted, reports: total, failed, latenessMs };
}

async function send({ api }: Stage, report: PlannedReport): Promise<Emitted[]> {
  const { project, sessionId } = report;
  const sentNs = nowNs();
  const { statusCode, body } = await api.request({
    method: "POST",
    path: `/v1/projects/${project.id}/sessions/${sessionId}/${report.type}`,
    headers: { authorization: `Bearer ${project.key}`, "content-type": "application/json" },
    body: report.body,
  });
  const text = await body.text();
  const answeredNs = nowNs();
  if (statusCode !== 200) throw new Error(`A report was answered ${statusCode}: ${text}`);
  const { data } = JSON.parse(text) as { data: { events: string[] } };
  return data.events.map((event) => ({ project, event, key: `${sessionId} ${event}`, sentNs, answeredNs }));
}
