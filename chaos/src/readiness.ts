import { Agent, get } from "node:http";
import type { Readiness } from "./history.ts";
import type { Journal } from "./journal.ts";
import { nowNs } from "./monotonic.ts";
import type { Member } from "./processes.ts";

const everyMs = 250;
/** A process that does not answer is asked on, but by so many questions at a time. */
const askedAtOnceMax = 8;
const answerMaxMs = 10_000;

/** Asks every process all the time whether it is ready, as a load balancer does. @returns what ends it. */
export function pollReadiness(members: readonly Member[], journal: Journal<Readiness>): () => void {
  const agent = new Agent({ keepAlive: true });
  const underWay = new Map<string, number>();
  const ask = (member: Member): void => {
    const asked = underWay.get(member.name) ?? 0;
    if (asked >= askedAtOnceMax) return;
    underWay.set(member.name, asked + 1);
    const askedNs = nowNs();
    let told = false;
    const tell = (status: number | null): void => {
      if (told) return;
      told = true;
      underWay.set(member.name, (underWay.get(member.name) ?? 1) - 1);
      journal.write({ member: member.name, askedNs, ns: nowNs(), status });
    };
    const request = get(`${member.url}/readyz`, { agent, timeout: answerMaxMs }, (response) => {
      tell(response.statusCode ?? null);
      response.resume().on("error", () => {});
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => tell(null));
  };
  const timer = setInterval(() => members.forEach(ask), everyMs);
  return () => {
    clearInterval(timer);
    agent.destroy();
  };
}
