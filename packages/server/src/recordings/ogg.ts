/** A packet that is larger is passed over: it holds pictures, and no codec's audio comes in such. */
const packetBytesMax = 64 * 1_024;
const pageHeadBytes = 27;
const noBytes = Buffer.alloc(0);

/** The packets of the first stream of an Ogg file, from bytes as they come (RFC 3533). Sums are not checked. */
export class OggPackets {
  #rest = noBytes;
  #serial: number | null = null;
  /** What has come of a packet that goes on; null: it is too large, or its beginning is missing. */
  #begun: Buffer[] | null = [];
  #begunBytes = 0;

  /** @returns the packets that have ended. */
  add(piece: Buffer): Buffer[] {
    const packets: Buffer[] = [];
    let bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    for (;;) {
      const at = bytes.indexOf("OggS", 0, "latin1");
      // Its last bytes may begin a page.
      bytes = at < 0 ? bytes.subarray(Math.max(0, bytes.length - 3)) : bytes.subarray(at);
      if (at < 0 || bytes.length < pageHeadBytes) break;
      const head = pageHeadBytes + (bytes[26] as number);
      if (bytes.length < head) break;
      const lengths = bytes.subarray(pageHeadBytes, head);
      const end = head + lengths.reduce((sum, length) => sum + length, 0);
      if (bytes.length < end) break;
      const serial = bytes.readUInt32LE(14);
      this.#serial ??= serial;
      if (serial === this.#serial)
        this.#page(bytes.subarray(head, end), lengths, (bytes[5] as number) & 1, packets);
      bytes = bytes.subarray(end);
    }
    // A copy, which holds no more than it has: a page at most.
    this.#rest = Buffer.from(bytes);
    return packets;
  }

  #page(body: Buffer, lengths: Buffer, continued: number, packets: Buffer[]): void {
    if (continued === 0) this.#begin([]);
    else if (this.#begunBytes === 0) this.#begin(null);
    let at = 0;
    for (const length of lengths) {
      this.#take(body.subarray(at, at + length));
      at += length;
      // A segment that is not full ends its packet.
      if (length === 255) continue;
      if (this.#begun !== null) packets.push(Buffer.concat(this.#begun));
      this.#begin([]);
    }
  }

  #begin(parts: Buffer[] | null): void {
    this.#begun = parts;
    this.#begunBytes = 0;
  }

  #take(part: Buffer): void {
    this.#begunBytes += part.length;
    if (this.#begunBytes > packetBytesMax) this.#begun = null;
    this.#begun?.push(part);
  }
}
