// npm start: installs, builds, and starts Sendoff in this process, so that Ctrl-C and SIGTERM reach it.
import { installAndBuild } from "./install.mjs";

installAndBuild();
const { main } = await import("../packages/cli/dist/main.js");
process.exitCode = await main(["start", ...process.argv.slice(2)]);
