/** The deliveries of one session to one endpoint, in order. Behaviour, section 1. */
export interface Lane {
  readonly sessionKey: number;
  readonly endpointId: string;
}

/** Lanes as the text of a NOTIFY. */
export function parseLanes(payload: string): Lane[] {
  return payload.split(",").flatMap((text) => {
    const [sessionKey, endpointId] = text.split(" ");
    return endpointId === undefined ? [] : [{ sessionKey: Number(sessionKey), endpointId }];
  });
}
