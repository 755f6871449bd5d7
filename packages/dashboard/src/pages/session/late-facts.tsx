import type { ReactNode } from "react";
import type { SessionDetail } from "../../api/types.ts";
import { callLength, count } from "../../format.ts";
import { Moment } from "../../ui/moment.tsx";
import { Notice } from "../../ui/notice.tsx";

/** Facts that came after their deadline: they are kept, and no event was emitted for them. */
export function LateFacts({ late: { conversation, call } }: { late: SessionDetail["late"] }): ReactNode {
  return (
    <Notice tone="warn">
      <p className="font-medium">
        A report came after its deadline. It is kept here, and no event was emitted for it.
      </p>
      {conversation !== null && (
        <p>
          Conversation ended, reported <Moment at={conversation.reportedAt} />: node{" "}
          <code className="foreign font-mono text-[12.5px]">{conversation.currentNodeId.slice(0, 200)}</code>,{" "}
          {count(conversation.messagesCount)} messages.
        </p>
      )}
      {call !== null && (
        <p>
          Call ended, reported <Moment at={call.reportedAt} />: {call.callStatus},{" "}
          {callLength(call.callDuration)}.
        </p>
      )}
    </Notice>
  );
}
