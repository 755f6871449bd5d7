import tailwind from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** A server of Sendoff that `vite` in this folder hands requests to: `npm start` in another terminal. */
const api = process.env.SENDOFF_URL ?? "http://127.0.0.1:4600";

export default defineConfig({
  base: "/dashboard/",
  plugins: [react(), tailwind()],
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
