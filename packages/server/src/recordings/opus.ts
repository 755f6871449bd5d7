import { OpusDecoder } from "opus-decoder";
import type { Decoder } from "./decoder.ts";
import { OggPackets } from "./ogg.ts";

/** More channels than any layout of RFC 7845, section 5.1.1.2. */
const channelsMax = 8;

/** Decodes Opus in Ogg (RFC 7845): the first packet says what it is, the second has tags, all others have audio. */
export function createOpusDecoder(): Decoder {
  const packets = new OggPackets();
  let decoder: OpusDecoder | null = null;
  let tagsSeen = false;
  return {
    async *decode(piece) {
      for (const packet of packets.add(piece)) {
        if (decoder === null) decoder = await decoderOf(packet);
        else if (!tagsSeen) tagsSeen = true;
        else if (packet.length > 0) {
          const { channelData, sampleRate } = decoder.decodeFrame(packet);
          yield { channels: channelData, samplesPerSecond: sampleRate };
        }
      }
    },
    free: () => decoder?.free(),
  };
}

/** @throws Error when the packet is no head of Opus. */
async function decoderOf(head: Buffer): Promise<OpusDecoder> {
  const channels = head[9] ?? 0;
  if (
    head.toString("latin1", 0, 8) !== "OpusHead" ||
    head.length < 19 ||
    channels < 1 ||
    channels > channelsMax
  )
    throw new Error("this Ogg does not begin with Opus");
  const family = head[18] as number;
  if (family === 0 && channels > 2) throw new Error("this Opus has more channels than its layout");
  if (family !== 0 && head.length < 21 + channels)
    throw new Error("this Opus does not say where its channels are");
  const decoder = new OpusDecoder({
    channels,
    preSkip: head.readUInt16LE(10),
    ...(family === 0
      ? {}
      : {
          streamCount: head[19] as number,
          coupledStreamCount: head[20] as number,
          channelMappingTable: [...head.subarray(21, 21 + channels)],
        }),
  });
  await decoder.ready;
  return decoder;
}
