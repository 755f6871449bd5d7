import { lazy, type ReactNode, Suspense, useState } from "react";
import { call, sessionPath } from "../../api/http.ts";
import { Button } from "../../ui/button.tsx";
import { EraseIcon } from "../../ui/icons.tsx";

const Confirm = lazy(() => import("../../ui/dialog.tsx").then((module) => ({ default: module.Confirm })));

interface EraseProps {
  readonly projectId: string;
  readonly sessionId: string;
  readonly onErased: () => void;
}

export function EraseButton({ projectId, sessionId, onErased }: EraseProps): ReactNode {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Button kind="danger" onClick={() => setAsking(true)}>
        <EraseIcon />
        Erase
      </Button>
      {asking && (
        <Suspense fallback={null}>
          <Confirm
            open
            onClose={() => setAsking(false)}
            title="Erase this session's data?"
            action="Erase the data"
            acting="Erasing ..."
            destructive
            typed={sessionId}
            act={async () => {
              await call("DELETE", sessionPath(projectId, sessionId));
              onErased();
            }}
          >
            <p>
              Its variables, nodes, event bodies, the answers of endpoints and its audio are removed for good.
              What waits to be sent is cancelled, and nothing can be resent.
            </p>
            <p>Ids, statuses, durations, counts, times and outcomes stay.</p>
          </Confirm>
        </Suspense>
      )}
    </>
  );
}
