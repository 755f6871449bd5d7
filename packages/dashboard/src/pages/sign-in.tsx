import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Navigate, useNavigate, useSearch } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { ApiError, call } from "../api/http.ts";
import { whoQuery } from "../api/queries.ts";
import type { DashboardSession } from "../api/types.ts";
import { Button } from "../ui/button.tsx";
import { Field } from "../ui/field.tsx";
import { Mark } from "../ui/icons.tsx";
import { ErrorNotice, Loading } from "../ui/notice.tsx";

/** The token of a sign-in link stands behind #, which no server and no log gets to see. */
const tokenInAddress = (): string | null => new URLSearchParams(location.hash.slice(1)).get("token");

/** Where to go afterwards: a page of the dashboard and nothing else, whatever the address says. */
const safeNext = (next: string | undefined): string | null =>
  /^(?:\/dashboard)?(\/p\/[\w-]+(?:[/?][^\\]*)?)$/.exec(next ?? "")?.[1] ?? null;

export default function SignInPage(): ReactNode {
  const { next } = useSearch({ from: "/sign-in" });
  const [token] = useState(tokenInAddress);
  const [key, setKey] = useState("");
  const client = useQueryClient();
  const navigate = useNavigate();
  const who = useQuery({ ...whoQuery, enabled: token === null, retry: false });
  const signIn = useMutation({
    mutationFn: (body: { token: string } | { key: string }) =>
      call<{ data: DashboardSession }>("POST", "/dashboard/session", { body }),
    onSuccess: ({ data }) => {
      client.setQueryData(whoQuery.queryKey, data);
      const wanted = safeNext(next);
      if (wanted !== null) return navigate({ href: `/dashboard${wanted}`, replace: true });
      return navigate({ to: "/", replace: true });
    },
  });
  const { mutate } = signIn;
  const used = useRef(false);
  useEffect(() => {
    // A link works once: React calls effects twice in development.
    if (token === null || used.current) return;
    used.current = true;
    history.replaceState(history.state, "", location.pathname + location.search);
    mutate({ token });
  }, [token, mutate]);
  if (token === null && who.data !== undefined) return <Navigate to="/" replace />;
  const details = signIn.error instanceof ApiError ? signIn.error.details : [];
  const fieldError = details.find(({ path }) => path === "key")?.message;
  return (
    <main className="grid min-h-dvh place-items-center px-4 py-10">
      <div className="w-full max-w-[25rem]">
        <div className="mb-6 flex items-center gap-3">
          <Mark className="size-9" />
          <div>
            <h1 className="text-[20px] leading-tight font-semibold tracking-[-0.01em]">Sign in to Sendoff</h1>
            <p className="text-ink-2">See what happened to each session.</p>
          </div>
        </div>
        {signIn.isPending && token !== null && signIn.error === null ? (
          <Loading what="your projects: signing in by the link" />
        ) : (
          <form
            className="space-y-4 rounded-xl border border-line bg-surface p-5 shadow-card"
            onSubmit={(event) => {
              event.preventDefault();
              mutate({ key: key.trim() });
            }}
          >
            {signIn.error !== null && fieldError === undefined && <ErrorNotice error={signIn.error} />}
            <Field
              label="Key"
              type="password"
              mono
              value={key}
              onChange={setKey}
              error={fieldError}
              required
              autoComplete="off"
              spellCheck={false}
              placeholder="dk_... or sk_..."
              note="A developer key sees every project, a project key its own."
            />
            <Button
              type="submit"
              kind="primary"
              className="w-full"
              busy={signIn.isPending && "Signing in ..."}
            >
              Sign in
            </Button>
            <p className="text-[13px] text-ink-3">
              Or open the sign-in link that <code className="font-mono text-xs">npm start</code> prints. It
              works once, for an hour. The keys are in{" "}
              <code className="font-mono text-xs">.sendoff/start.json</code>.
            </p>
          </form>
        )}
      </div>
    </main>
  );
}
