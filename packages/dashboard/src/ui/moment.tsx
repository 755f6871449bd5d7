import type { ReactNode } from "react";
import { moment, wholeMoment } from "../format.ts";

/** A moment, short; whole in its tooltip. */
export function Moment({ at, className = "" }: { at: string; className?: string }): ReactNode {
  return (
    <time dateTime={at} title={wholeMoment(at)} className={`numbers whitespace-nowrap ${className}`}>
      {moment(at)}
    </time>
  );
}
