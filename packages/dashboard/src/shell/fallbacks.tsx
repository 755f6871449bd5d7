import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { buttonClass } from "../ui/button.tsx";
import { Empty, ErrorNotice, Loading as LoadingNote } from "../ui/notice.tsx";

export function Loading(): ReactNode {
  return <LoadingNote what="the page" />;
}

export function NotFound(): ReactNode {
  return (
    <main>
      <Empty
        title="There is no such page"
        action={
          <Link to="/" className={buttonClass("primary")}>
            Go to the overview
          </Link>
        }
      >
        The address may have been cut short, or the page has moved.
      </Empty>
    </main>
  );
}

export function Failed({ error, reset }: { error: unknown; reset: () => void }): ReactNode {
  return (
    <div className="mx-auto max-w-2xl p-6">
      <ErrorNotice error={error} retry={reset} />
    </div>
  );
}
