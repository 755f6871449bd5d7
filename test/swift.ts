import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { debianPackages } from "../scripts/debian.mjs";
import { until } from "./until.ts";

/** OpenStack Swift with its S3 API as a process of its own: a store that really checks signatures and expiry. */
export interface Swift {
  readonly endpoint: string;
  readonly bucket: string;
  /** A setting of SENDOFF_RECORDINGS for it, and the keys that belong to it. */
  readonly env: Readonly<Record<string, string>>;
  /** Ends the process and removes what it had stored. */
  stop(): Promise<void>;
}

const packages = ["swift-proxy", "swift-account", "swift-container", "swift-object"];
const swiftKeys = { AWS_ACCESS_KEY_ID: "test:tester", AWS_SECRET_ACCESS_KEY: "testing" };

/** A folder on a file system with extended attributes, in which Swift keeps what it knows of an object. */
async function newSwiftFolder(python: string): Promise<string> {
  const tried = [tmpdir(), resolve(import.meta.dirname, "../node_modules/.cache")];
  for (const base of tried) {
    const folder = await mkdtemp(join(base, "sendoff-test-swift-"));
    const setAttribute = "import os, sys; os.setxattr(sys.argv[1], 'user.sendoff', b'1')";
    if (spawnSync(python, ["-c", setAttribute, folder]).status === 0) return folder;
    await rm(folder, { recursive: true });
  }
  throw new Error(
    `Swift needs a file system with extended attributes; there is none at ${tried.join(" or ")}.`,
  );
}

/** Starts it with an empty bucket. The first call on a machine downloads Debian's packages. */
export async function startSwift(): Promise<Swift> {
  const { root, env } = debianPackages(packages);
  const own = join(root, "usr/bin/python3");
  const python = existsSync(own) ? own : "/usr/bin/python3";
  const folder = await newSwiftFolder(python);
  const given = JSON.stringify({ folder, user: userInfo().username });
  const child = spawn(python, [resolve(import.meta.dirname, "s3-server.py"), given], {
    env,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += chunk;
  });
  const ended = new Promise<void>((done) => child.once("close", () => done()));
  const stop = async (): Promise<void> => {
    child.kill("SIGKILL");
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await until(
      "Swift listens",
      () => {
        if (child.exitCode !== null) throw new Error(`Swift ended with ${child.exitCode}:\n${output}`);
        return /listening on \d+/.test(output);
      },
      60_000,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  const endpoint = `http://127.0.0.1:${/listening on (\d+)/.exec(output)?.[1]}`;
  const bucket = "recordings";
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: {
      accessKeyId: swiftKeys.AWS_ACCESS_KEY_ID,
      secretAccessKey: swiftKeys.AWS_SECRET_ACCESS_KEY,
    },
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  try {
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
  } catch (error) {
    await stop();
    throw new Error(`Swift made no bucket: ${String(error)}\n${output}`);
  } finally {
    client.destroy();
  }
  const setting = `s3://${bucket}/calls?endpoint=${encodeURIComponent(endpoint)}&region=us-east-1`;
  return { endpoint, bucket, env: { SENDOFF_RECORDINGS: setting, ...swiftKeys }, stop };
}
