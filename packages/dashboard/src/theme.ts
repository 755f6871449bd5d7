/** Light, dark, or as the system says. Kept in this browser. */
export type Theme = "system" | "light" | "dark";

const place = "sendoff.theme";

export function readTheme(): Theme {
  const kept = localStorage.getItem(place);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function applyTheme(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function keepTheme(theme: Theme): void {
  localStorage.setItem(place, theme);
  applyTheme(theme);
}
