/** Samples of audio as they are decoded: for each channel as many, from -1 to 1. */
export interface Decoded {
  readonly channels: readonly Float32Array[];
  readonly samplesPerSecond: number;
}

/** Decodes audio that is fed to it piece by piece. */
export interface Decoder {
  decode(chunk: Uint8Array): Promise<Decoded | null>;
  /** Ends its thread. */
  free(): Promise<void>;
}
