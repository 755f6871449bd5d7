import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { debianPackages } from "../../../scripts/debian.mjs";
import type { ServerAtHand } from "../../../test/server.ts";

/** Where screenshots are kept, for a person to look at after the tests. */
const artifacts = resolve(import.meta.dirname, "../../../artifacts/dashboard");

const widths = { laptop: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } } as const;
export type Width = keyof typeof widths;
export type Scheme = "light" | "dark";
/** How long a page may take to fit itself to another width or scheme, in milliseconds. */
const redrawMs = 300;

/** A Chromium of Debian's with an empty profile, which asks no other host for anything. */
export async function launchChromium(): Promise<Browser> {
  const { root, env } = debianPackages(["chromium"]);
  return chromium.launch({
    executablePath: join(root, "usr/lib/chromium/chromium"),
    env,
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      "--autoplay-policy=no-user-gesture-required",
    ],
  });
}

/** What a page did that no page of the dashboard may do. */
interface Misdeeds {
  /** Breaches of the content security policy. */
  readonly violations: string[];
  /** Dialogs and marks that only a foreign script could have made. */
  readonly executed: string[];
  /** Requests to another host. */
  readonly strayed: string[];
  /** Errors that nothing caught. */
  readonly errors: string[];
}

export interface Visitor {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly misdeeds: Misdeeds;
  /** Goes to a page of the project, such as `/sessions`, and waits until it has its heading. */
  visit(path: string): Promise<void>;
  /** Keeps a picture of what is seen. */
  picture(name: string): Promise<void>;
  /** Keeps four: in light and dark, on a laptop and on a phone; then it is as before. */
  pictures(name: string): Promise<void>;
}

interface VisitorOptions {
  readonly width?: Width;
  readonly scheme?: Scheme;
  /** Signs in with the developer key first. */
  readonly signedIn?: boolean;
}

/** Somebody with a browser window. */
export async function openVisitor(
  browser: Browser,
  server: ServerAtHand,
  { width = "laptop", scheme = "light", signedIn = true }: VisitorOptions = {},
): Promise<Visitor> {
  const context = await browser.newContext({
    viewport: widths[width],
    colorScheme: scheme,
    baseURL: server.apiUrl,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  context.setDefaultTimeout(15_000);
  const misdeeds: Misdeeds = { violations: [], executed: [], strayed: [], errors: [] };
  await context.exposeFunction("violated", (what: string) => misdeeds.violations.push(what));
  await context.exposeFunction("pwned", (what: string) => misdeeds.executed.push(what));
  await context.addInitScript(
    `addEventListener("securitypolicyviolation", (event) => violated(event.violatedDirective + " " + event.blockedURI + " " + event.sample));`,
  );
  const page = await context.newPage();
  page.on("dialog", (dialog) => {
    misdeeds.executed.push(dialog.message());
    void dialog.dismiss();
  });
  page.on("pageerror", (error) => misdeeds.errors.push(error.message));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(server.apiUrl) && !/^(data|blob|about):/.test(url)) misdeeds.strayed.push(url);
  });
  if (signedIn) {
    const answer = await context.request.post("/dashboard/session", {
      headers: { "sendoff-dashboard": "1", origin: server.apiUrl },
      data: { key: server.developerKey },
    });
    if (!answer.ok()) throw new Error(`signing in was answered ${answer.status()}: ${await answer.text()}`);
  }
  const keep = async (name: string, of: Width, by: Scheme): Promise<void> => {
    await mkdir(artifacts, { recursive: true });
    await page.screenshot({ path: join(artifacts, `${name}-${widths[of].width}-${by}.png`) });
  };
  return {
    context,
    page,
    misdeeds,
    async visit(path) {
      await page.goto(`/dashboard/p/${server.projectId}${path}`);
      // Not by its role: an open sheet hides it from those who ask for roles.
      await page.locator("h1").waitFor();
    },
    picture: (name) => keep(name, width, scheme),
    async pictures(name) {
      for (const of of ["laptop", "phone"] as const) {
        await page.setViewportSize(widths[of]);
        for (const by of ["light", "dark"] as const) {
          await page.emulateMedia({ colorScheme: by });
          // What is drawn by its size is drawn anew.
          await page.waitForTimeout(redrawMs);
          await keep(name, of, by);
        }
      }
      await page.setViewportSize(widths[width]);
      await page.emulateMedia({ colorScheme: scheme });
    },
  };
}
