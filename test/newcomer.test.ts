// A newcomer's path, as docs/getting-started.md tells it: from the tarballs, in an empty folder, without a network.
import { copyFile, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { basename, join, resolve } from "node:path";
import { expect, test } from "vitest";
import { runDocument } from "./documents.ts";
import { newFolder } from "./process.ts";
import { packAll, quietNpm, startRegistry } from "./tarballs.ts";

const page = resolve(import.meta.dirname, "../docs/getting-started.md");

test("from the tarballs to events that a receiver has handled, in under a minute", async () => {
  const [folder, packs] = [await newFolder(), await newFolder()];
  const tarballs = await packAll(packs);
  const registry = await startRegistry(tarballs);
  try {
    for (const name of ["@sendoff/contract", "@sendoff/server", "sendoff"]) {
      const tarball = tarballs.get(name) ?? "";
      await copyFile(tarball, join(folder, basename(tarball)));
    }
    const env = {
      ...quietNpm,
      npm_config_registry: registry.url,
      npm_config_cache: join(packs, "cache"),
      // npx must take what is installed, and never ask for it.
      npm_config_yes: "false",
      PORT: "0",
    };
    const receiverPort = String(await freePort());
    const ran = await runDocument(page, { folder, env, replace: [["4700", receiverPort]] });
    expect(ran.output).toContain("handled recording.ready of first-call");
    // From the start of Sendoff to the last event that was handled.
    const begun = ran.blocks.find(({ text }) => text === "npx sendoff start")?.begunMs ?? Number.NaN;
    const handled = ran.blocks.find(({ text }) => text.startsWith("npx sendoff logs"))?.doneMs ?? Number.NaN;
    console.log(
      `A newcomer's events were handled ${((handled - begun) / 1_000).toFixed(1)} s after the start.`,
    );
    expect(handled - begun).toBeLessThan(60_000);
    const manifest = JSON.parse(await readFile(join(folder, "node_modules/sendoff/package.json"), "utf8"));
    expect(manifest.version).toBe("0.1.0");
  } finally {
    await registry.close();
    await rm(folder, { recursive: true, force: true });
    await rm(packs, { recursive: true, force: true });
  }
}, 240_000);

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address() as AddressInfo;
  await new Promise((done) => probe.close(done));
  return port;
}
