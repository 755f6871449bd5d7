/** Why a request was refused; also the `error.code` of its answer. */
export type RefusalCode =
  | "method_not_allowed"
  | "content_type_not_json"
  | "content_encoding_not_supported"
  | "body_too_large"
  | "body_too_slow"
  | "body_incomplete"
  | "headers_missing"
  | "header_wrong"
  | "signature_wrong"
  | "timestamp_too_old"
  | "timestamp_in_future"
  | "body_not_utf8"
  | "body_not_json"
  | "payload_wrong"
  | "overloaded"
  | "not_stored"
  | "closed";

const statuses: Readonly<Record<RefusalCode, number>> = {
  method_not_allowed: 405,
  content_type_not_json: 415,
  content_encoding_not_supported: 415,
  body_too_large: 413,
  body_too_slow: 408,
  body_incomplete: 400,
  headers_missing: 401,
  header_wrong: 401,
  signature_wrong: 401,
  timestamp_too_old: 401,
  timestamp_in_future: 401,
  body_not_utf8: 400,
  body_not_json: 400,
  payload_wrong: 400,
  overloaded: 503,
  not_stored: 503,
  closed: 503,
};

/** A request that is not taken. Nothing was stored and no handler has seen it. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly code: RefusalCode;
  /** The HTTP status that it is answered with. */
  readonly status: number;

  constructor(code: RefusalCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.status = statuses[code];
  }
}
