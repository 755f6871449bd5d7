import { Menu } from "@base-ui/react/menu";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { call } from "../api/http.ts";
import type { DashboardSession } from "../api/types.ts";
import { keepTheme, readTheme, type Theme } from "../theme.ts";
import { buttonClass } from "../ui/button.tsx";
import { CheckIcon, ChevronIcon, MoonIcon, ScreenIcon, SignOutIcon, SunIcon } from "../ui/icons.tsx";

const themes = [
  { theme: "system", label: "As the system", Icon: ScreenIcon },
  { theme: "light", label: "Light", Icon: SunIcon },
  { theme: "dark", label: "Dark", Icon: MoonIcon },
] as const;

const item =
  "flex cursor-pointer items-center gap-2 rounded-md px-2 py-1.5 outline-none select-none data-[highlighted]:bg-sunken";

export function AccountMenu({ who }: { who: DashboardSession }): ReactNode {
  const [theme, setTheme] = useState(readTheme);
  const client = useQueryClient();
  const signOut = async () => {
    await call("DELETE", "/dashboard/session");
    client.clear();
    // A new document: nothing of what was shown stays in memory.
    location.assign("/dashboard/sign-in");
  };
  return (
    <Menu.Root>
      <Menu.Trigger className={`${buttonClass("quiet")} md:w-full md:justify-start md:px-2.5`} aria-label="Account and appearance">
        <span
          aria-hidden="true"
          className="grid size-6 place-items-center rounded-full bg-accent-soft text-[11px] font-semibold text-accent"
        >
          {who.kind === "developer" ? "D" : "P"}
        </span>
        <span className="hidden min-w-0 flex-1 truncate text-left md:block">
          {who.kind === "developer" ? "Developer" : "Project key"}
        </span>
        <ChevronIcon className="hidden size-4 text-ink-3 md:block" />
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner sideOffset={6} align="end" className="z-50 outline-none">
          <Menu.Popup className="w-60 rounded-lg border border-line bg-raised p-1 shadow-float outline-none">
            <Menu.Group>
              <Menu.GroupLabel className="px-2 pt-1.5 pb-1 text-xs font-medium text-ink-3">Appearance</Menu.GroupLabel>
              <Menu.RadioGroup
                value={theme}
                onValueChange={(next: Theme) => {
                  keepTheme(next);
                  setTheme(next);
                }}
              >
                {themes.map(({ theme: value, label, Icon }) => (
                  <Menu.RadioItem key={value} value={value} className={item}>
                    <Icon className="size-4 text-ink-3" />
                    <span className="flex-1">{label}</span>
                    <Menu.RadioItemIndicator className="text-accent">
                      <CheckIcon className="size-3.5" />
                    </Menu.RadioItemIndicator>
                  </Menu.RadioItem>
                ))}
              </Menu.RadioGroup>
            </Menu.Group>
            <Menu.Separator className="my-1 h-px bg-line" />
            <Menu.LinkItem className={item} href="/docs" target="_blank" rel="noreferrer">
              API documentation
            </Menu.LinkItem>
            <Menu.Item className={item} onClick={() => void signOut()}>
              <SignOutIcon className="size-4 text-ink-3" />
              Sign out
            </Menu.Item>
            <p className="numbers px-2 pt-1.5 pb-1 text-xs text-ink-3">Sendoff {who.version}</p>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
