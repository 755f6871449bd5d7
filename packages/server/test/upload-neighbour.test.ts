// One key uploads what is slow to parse as fast as it can, and drips on as many connections as it can. Another project's
// reports and uploads go on, and nothing blocks the process.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toneWav } from "../../../test/audio.ts";
import { putAudio } from "../../../test/recordings.ts";
import { startTestServer, type TestServer } from "../../../test/server.ts";

let server: TestServer;
let other: { projectId: string; projectKey: string };
beforeAll(async () => {
  server = await startTestServer();
  const { body } = await server.api("POST", "/v1/projects", { name: "Other" }, server.developerKey);
  other = { projectId: body.data.id, projectKey: body.data.key };
});
afterAll(() => server?.stop());

/** In a thread, so that what the attacker takes of time is not the server's. It says how many answers it got, by status. */
const attacker = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { connect } = require("node:net");
  const { port, path, key } = workerData;
  const zeros = Buffer.concat([Buffer.from("ID3\\x04\\0\\0\\0\\0\\0\\0", "latin1"), Buffer.alloc(256 * 1024)]);
  const answers = {};
  let count = 0, over = false;
  const put = (drips) => {
    if (over) return;
    const socket = connect(port, "127.0.0.1");
    const head = "PUT " + path + "/attack-" + ++count + "/recording HTTP/1.1\\r\\nhost: x\\r\\nauthorization: Bearer " + key +
      "\\r\\ncontent-length: " + (drips ? 1e9 : zeros.length) + "\\r\\n\\r\\n";
    socket.write(head);
    socket.write(drips ? zeros.subarray(0, 5000) : zeros);
    const timer = drips ? setInterval(() => socket.write(Buffer.alloc(1)), 100) : null;
    socket.on("data", (data) => {
      const status = /^HTTP\\/1.1 (\\d+)/.exec(data.toString("latin1"))?.[1];
      if (status) answers[status] = (answers[status] ?? 0) + 1;
      socket.destroy();
    });
    socket.on("error", () => {}).on("close", () => { clearInterval(timer); setTimeout(put, 50, drips); });
  };
  for (let n = 0; n < 62; n++) put(false);
  for (let n = 0; n < 70; n++) put(true);
  parentPort.on("message", () => { over = true; parentPort.postMessage(answers); });
`;

/** How long each of some reports of the other project takes, in milliseconds, sorted. */
async function reportTimes(name: string, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const fromMs = performance.now();
    const path = `/v1/projects/${other.projectId}/sessions/${name}-${n}/call-ended`;
    const report = { callStatus: "userHangup", callDuration: 1 };
    expect((await server.api("POST", path, report, other.projectKey)).status).toBe(200);
    times.push(performance.now() - fromMs);
  }
  return times.sort((one, two) => one - two);
}
const p99 = (times: readonly number[]): number => times[Math.floor(times.length * 0.99)] ?? 0;

test("while one key uploads zeros and drips, another project's reports and uploads are taken as before", async () => {
  await reportTimes("warm", 20);
  const calmDelay = monitorEventLoopDelay({ resolution: 5 });
  calmDelay.enable();
  const calm = p99(await reportTimes("calm", 60));
  calmDelay.disable();
  const path = `/v1/projects/${server.projectId}/sessions`;
  const workerData = { port: Number(new URL(server.apiUrl).port), path, key: server.projectKey };
  const thread = new Worker(attacker, { eval: true, workerData });
  const delay = monitorEventLoopDelay({ resolution: 5 });
  try {
    await reportTimes("begun", 20);
    delay.enable();
    const attacked = p99(await reportTimes("attacked", 60));
    delay.disable();
    const put = await putAudio({ ...server, ...other }, "neighbour", toneWav(1));
    const answers = await new Promise<Record<string, number>>((resolve) => {
      thread.once("message", resolve);
      thread.postMessage("over");
    });
    const [calmUsual, usual, longest] = [calmDelay.percentile(99), delay.percentile(99), delay.max].map(
      (ns) => ns / 1e6,
    ) as [number, number, number];
    console.log(
      `reports p99 ${calm.toFixed(0)} ms calm, ${attacked.toFixed(0)} ms attacked; event loop p99 ${calmUsual.toFixed(0)} ms calm, ${usual.toFixed(0)} ms attacked, longest ${longest.toFixed(0)} ms; the attacker got ${JSON.stringify(answers)}`,
    );
    expect(put.status, JSON.stringify(put.body)).toBe(200);
    // The drips have all places of their project, and no more.
    expect(answers["503"]).toBeGreaterThan(0);
    // Seconds, when it was the main thread that parsed. The rest is for a machine that is busy with something else.
    expect(attacked).toBeLessThan(calm * 10 + 500);
    expect(usual).toBeLessThan(calmUsual * 4 + 50);
  } finally {
    await thread.terminate();
  }
});
