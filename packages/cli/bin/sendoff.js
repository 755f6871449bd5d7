#!/usr/bin/env node
import { existsSync } from "node:fs";

const built = new URL("../dist/main.js", import.meta.url);

// A reader that closes the pipe early (`sendoff tail | head`) is no mistake.
process.stdout.on("error", (error) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

if (existsSync(built)) {
  const { main } = await import(built.href);
  process.exitCode = await main(process.argv.slice(2));
} else {
  process.stderr.write("sendoff is not built yet: run npm start or npm run build first.\n");
  process.exitCode = 1;
}
