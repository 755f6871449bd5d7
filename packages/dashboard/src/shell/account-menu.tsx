import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import { call } from "../api/http.ts";
import type { DashboardSession } from "../api/types.ts";
import { keepTheme, readTheme } from "../theme.ts";
import { Button, buttonClass } from "../ui/button.tsx";
import { ChevronIcon, MoonIcon, PersonIcon, ScreenIcon, SignOutIcon, SunIcon } from "../ui/icons.tsx";

const themes = [
  { theme: "system", label: "As the system", Icon: ScreenIcon },
  { theme: "light", label: "Light", Icon: SunIcon },
  { theme: "dark", label: "Dark", Icon: MoonIcon },
] as const;

/** Who is signed in, how the pages look, and the way out. A popover of the browser's own: Escape closes it. */
export function AccountMenu({ who }: { who: DashboardSession }): ReactNode {
  const id = useId();
  const client = useQueryClient();
  const [error, setError] = useState<string | null>(null);
  const name = who.kind === "developer" ? "Developer" : "Project key";
  const signOut = async () => {
    try {
      await call("DELETE", "/dashboard/session");
      client.clear();
      // A new document: nothing of what was shown stays in memory.
      location.assign("/dashboard/sign-in");
    } catch (failed) {
      setError(failed instanceof Error ? failed.message : String(failed));
    }
  };
  return (
    <>
      <button
        type="button"
        popoverTarget={id}
        className={`${buttonClass("quiet")} md:w-full md:justify-start md:px-2.5`}
      >
        <span className="grid size-6 place-items-center rounded-full bg-accent-soft text-accent">
          <PersonIcon className="size-4" />
        </span>
        <span className="hidden min-w-0 flex-1 truncate text-left md:block">{name}</span>
        <span className="sr-only">Account and appearance</span>
        <ChevronIcon className="hidden size-4 -rotate-90 text-ink-3 md:block" />
      </button>
      <div
        id={id}
        popover="auto"
        className="fixed inset-auto top-14 right-3 m-0 w-64 rounded-lg border border-line bg-raised p-3 text-ink shadow-float md:top-auto md:right-auto md:bottom-16 md:left-3"
      >
        <Appearance />
        <div className="mt-3 space-y-1 border-t border-line pt-3">
          <a
            className={`${buttonClass("quiet")} w-full !justify-start`}
            href="/docs"
            target="_blank"
            rel="noreferrer"
          >
            API documentation
          </a>
          <a
            className={`${buttonClass("quiet")} w-full !justify-start`}
            href="/dashboard/THIRD-PARTY-NOTICES.txt"
            target="_blank"
            rel="noreferrer"
          >
            Third-party notices
          </a>
          <Button kind="quiet" className="w-full !justify-start" onClick={() => void signOut()}>
            <SignOutIcon />
            Sign out
          </Button>
          {error !== null && (
            <p role="alert" className="px-3 text-[13px] text-bad">
              {error}
            </p>
          )}
        </div>
        <p className="numbers mt-2 px-3 text-xs text-ink-3">
          {name}, Sendoff {who.version}
        </p>
      </div>
    </>
  );
}

function Appearance(): ReactNode {
  const [theme, setTheme] = useState(readTheme);
  return (
    <fieldset>
      <legend className="mb-1.5 text-xs font-medium text-ink-3">Appearance</legend>
      <div className="grid grid-cols-3 gap-1 rounded-lg bg-sunken p-1">
        {themes.map(({ theme: value, label, Icon }) => (
          <label
            key={value}
            title={label}
            className="grid h-8 cursor-pointer place-items-center rounded-md text-ink-2 has-checked:bg-surface has-checked:text-ink has-checked:shadow-card has-focus-visible:outline-2 has-focus-visible:outline-accent-fill"
          >
            <input
              type="radio"
              name="theme"
              value={value}
              checked={theme === value}
              onChange={() => {
                keepTheme(value);
                setTheme(value);
              }}
              className="sr-only"
            />
            <Icon />
            <span className="sr-only">{label}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
