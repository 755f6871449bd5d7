// Records which addresses this process dials: vitest loads it in each worker, and each worker hands it to the Node.js
// processes that it starts. Plain JavaScript, because those may be started without any compiler.
import { appendFileSync } from "node:fs";
import { BlockList, isIP, Socket } from "node:net";
import { join } from "node:path";

const loopback = new BlockList();
loopback.addSubnet("127.0.0.0", 8, "ipv4");
loopback.addAddress("::1", "ipv6");

const folder = new URL(import.meta.url).searchParams.get("folder") ?? process.env.TEST_DIALLED_FOLDER;

if (folder) {
  // A query, for a child may be started with an environment of its own.
  const url = new URL(import.meta.url);
  url.searchParams.set("folder", folder);
  const option = `--import=${url.href}`;
  const options = process.env.NODE_OPTIONS ?? "";
  if (!options.includes(option)) process.env.NODE_OPTIONS = `${options} ${option}`.trim();
  record(join(folder, `${process.pid}.txt`));
}

/** A line for each address outside of loopback at once, and the number of all others from time to time. */
function record(file) {
  const { connect } = Socket.prototype;
  let count = 0;
  const flush = () => {
    if (count > 0) appendFileSync(file, `loopback ${count}\n`);
    count = 0;
  };
  const note = (address) => {
    if (isIP(address) === 0) return;
    if (loopback.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")) count += 1;
    else appendFileSync(file, `forbidden ${address}\n`);
    if (count >= 10) flush();
  };
  Socket.prototype.connect = function (...args) {
    // Told for each address that is really dialled, after names were looked up.
    this.on("connectionAttempt", note);
    return connect.apply(this, args);
  };
  process.on("exit", flush);
}
