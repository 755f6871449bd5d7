import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import tailwind from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** A server of Sendoff that `vite` in this folder hands requests to: `npm start` in another terminal. */
const api = process.env.SENDOFF_URL ?? "http://127.0.0.1:4600";

/** Where scripts/notices.mjs reads it. */
const bundledFile = join(import.meta.dirname, "../../node_modules/.cache/dashboard/packages.json");

/** Notes which packages the pages are made of, for the notices of their licences. */
function notePackages(): Plugin {
  const packageOf = (path: string): string[] =>
    /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path.replaceAll("\\", "/"))?.slice(1) ?? [];
  return {
    name: "note-packages",
    apply: "build",
    generateBundle(_, bundle) {
      const modules = Object.values(bundle).flatMap((file) => (file.type === "chunk" ? file.moduleIds : []));
      // What a style sheet imports is no module.
      const styles = readFileSync(join(import.meta.dirname, "src/styles.css"), "utf8");
      const imported = [...styles.matchAll(/@import "([^."][^"]*)"/g)].map(
        ([, path]) => `node_modules/${path}/`,
      );
      const names = new Set([...modules, ...imported].flatMap(packageOf));
      mkdirSync(dirname(bundledFile), { recursive: true });
      writeFileSync(bundledFile, JSON.stringify([...names].sort()));
    },
  };
}

export default defineConfig({
  base: "/dashboard/",
  plugins: [react(), tailwind(), notePackages()],
  build: {
    // There the server serves them from, and there they are published with it.
    outDir: "../server/dist/dashboard",
    emptyOutDir: true,
    // The pages' policy allows no data: fonts or scripts; every asset is a file of its own.
    assetsInlineLimit: 0,
    // What is fetched ahead is told by <link> tags; the helper that vite would add is not needed by today's browsers.
    modulePreload: { polyfill: false },
    target: "es2023",
  },
  server: {
    proxy: Object.fromEntries(
      ["/v1", "/project", "/recordings", "/dashboard/session"].map((path) => [path, api]),
    ),
  },
});
