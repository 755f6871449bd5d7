/** Samples of audio as they are decoded: for each channel as many, from -1 to 1. */
export interface Decoded {
  readonly channels: readonly Float32Array[];
  readonly samplesPerSecond: number;
}

/**
 * Decodes audio that is fed to it piece by piece. Throws on what it cannot decode. Samples come as they are made: a few
 * bytes may stand for hours of them.
 */
export interface Decoder {
  decode(piece: Buffer): AsyncGenerator<Decoded>;
  free(): void;
}
