import { useMutation } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { call, projectPath } from "../../api/http.ts";
import type { RotatedSecret } from "../../api/types.ts";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { Choice } from "../../ui/choice.tsx";
import { Moment } from "../../ui/moment.tsx";
import { Secret } from "../../ui/secret.tsx";

const Confirm = lazy(() => import("../../ui/dialog.tsx").then((module) => ({ default: module.Confirm })));

const overlaps = [
  { value: "24h", label: "for 24 hours" },
  { value: "1h", label: "for an hour" },
  { value: "7d", label: "for 7 days" },
  { value: "0s", label: "no longer" },
] as const;
type Overlap = (typeof overlaps)[number]["value"];

export function SigningSecret({
  projectId,
  configured,
}: {
  projectId: string;
  configured: boolean;
}): ReactNode {
  const [overlap, setOverlap] = useState<Overlap>("24h");
  const [asking, setAsking] = useState(false);
  const rotate = useMutation({
    mutationFn: () =>
      call<{ data: RotatedSecret }>("POST", projectPath(projectId, "/agent/webhook/secret"), {
        body: { overlap },
      }),
  });
  const made = rotate.data?.data;
  return (
    <Card
      title="Signing secret"
      note="Each attempt is signed (Standard Webhooks), so that receivers can tell it from a forgery."
    >
      {configured ? (
        <div className="space-y-3">
          {made === undefined ? (
            <p className="text-ink-2">
              A secret is shown once, when it is made. Lost it, or somebody saw it? Make a new one.
            </p>
          ) : (
            <>
              <Secret label="The new signing secret" value={made.signingSecret} />
              <p className="text-[13px] text-ink-2">
                {made.oldSecretEndsAt === null ? (
                  "The old secret signs no more."
                ) : (
                  <>
                    The old secret signs along until <Moment at={made.oldSecretEndsAt} />.
                  </>
                )}
              </p>
            </>
          )}
          <Button onClick={() => setAsking(true)}>Rotate the secret</Button>
        </div>
      ) : (
        <p className="text-ink-2">Save the webhook first: its secret is made with it and shown once.</p>
      )}
      {asking && (
        <Suspense fallback={null}>
          <Confirm
            open
            onClose={() => setAsking(false)}
            title="Rotate the signing secret?"
            action="Make a new secret"
            acting="Making it ..."
            act={() => rotate.mutateAsync()}
          >
            <p>Attempts are signed with both secrets for a while, so that receivers can change over.</p>
            <div className="flex flex-wrap items-center gap-2">
              The old secret signs along
              <Choice
                label="Old secret signs along"
                options={overlaps}
                value={overlap}
                onChange={setOverlap}
              />
            </div>
          </Confirm>
        </Suspense>
      )}
    </Card>
  );
}
