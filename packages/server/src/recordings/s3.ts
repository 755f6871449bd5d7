import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { fileNameOf, peaksKeyOf } from "./keys.ts";
import type { BucketSetting } from "./setting.ts";
import { type RecordingStore, storeUnavailable } from "./store.ts";

/** One part of an upload, in bytes: with 10,000 parts, which is the most, an object of 80 GB. */
const partBytes = 8 * 1_024 * 1_024;

/** A link that lives for less is not worth sending, in milliseconds. */
const lifeMinMs = 60_000;

/**
 * Objects in a bucket of an S3-compatible service. Loaded only when SENDOFF_RECORDINGS names one (open.ts): the SDK
 * takes as long to load as the rest of Sendoff. Credentials are found as AWS's tools find them: environment, profile, role.
 */
export function createS3Recordings(setting: BucketSetting): RecordingStore {
  const client = new S3Client({
    region: setting.region ?? process.env.AWS_REGION ?? "us-east-1",
    ...(setting.endpoint === null ? {} : { endpoint: setting.endpoint }),
    forcePathStyle: setting.pathStyle,
    // What AWS has added to the protocol of late, other services do not know.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  const at = (objectKey: string) => ({ Bucket: setting.bucket, Key: setting.prefix + objectKey });

  const head = (objectKey: string) =>
    client.send(new HeadObjectCommand(at(objectKey))).catch((error: unknown) => {
      if (isAbsent(error)) return null;
      throw storeUnavailable("look for a recording", error);
    });
  const remove = async (objectKey: string): Promise<boolean> => {
    const was = (await head(objectKey)) !== null;
    for (const key of [objectKey, peaksKeyOf(objectKey)]) {
      await client.send(new DeleteObjectCommand(at(key))).catch((error: unknown) => {
        if (!isAbsent(error)) throw storeUnavailable("remove a recording", error);
      });
    }
    return was;
  };

  return {
    uploadsMax: 16,
    // A bucket does not tell how much room it has.
    expect: async () => {},
    async write(objectKey, content, contentType) {
      let broken: unknown = null;
      async function* noting(): AsyncGenerator<Uint8Array> {
        try {
          yield* content;
        } catch (error) {
          // What the source says is to be heard, not what the SDK makes of it.
          broken = error;
          throw error;
        }
      }
      const body = Readable.from(noting(), { objectMode: false });
      try {
        await new Upload({
          client,
          params: { ...at(objectKey), Body: body, ContentType: contentType },
          partSize: partBytes,
          // One part on its way while the next one is read.
          queueSize: 1,
        }).done();
      } catch (error) {
        body.destroy();
        throw broken ?? storeUnavailable("store a recording", error);
      }
    },
    async find(objectKey) {
      const found = await head(objectKey);
      if (found === null) return null;
      return {
        bytes: found.ContentLength ?? 0,
        contentType: found.ContentType ?? "application/octet-stream",
        etag: found.ETag ?? '""',
      };
    },
    async read(objectKey, range) {
      const wanted = range === undefined ? {} : { Range: `bytes=${range.from}-${range.to}` };
      const { Body } = await client
        .send(new GetObjectCommand({ ...at(objectKey), ...wanted }))
        .catch((error: unknown) => {
          throw storeUnavailable("read a recording", error);
        });
      return Body as Readable;
    },
    remove,
    async discard(objectKey) {
      await remove(objectKey);
      const { Key: Prefix, Bucket } = at(objectKey);
      const { Uploads = [] } = await client
        .send(new ListMultipartUploadsCommand({ Bucket, Prefix }))
        .catch((error: unknown) => {
          throw storeUnavailable("look for unfinished uploads", error);
        });
      for (const { Key, UploadId } of Uploads.filter(({ Key }) => Key === Prefix)) {
        await client
          .send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
          .catch((error: unknown) => {
            if (!isAbsent(error)) throw storeUnavailable("remove an unfinished upload", error);
          });
      }
    },
    // What a dead process has left is known by its row (discard).
    tidy: async () => 0,
    async sign(objectKey, now, lifeMs) {
      const { expiration } = await client.config.credentials();
      // A link dies with the credentials that signed it.
      const expiresMs = Math.min(now + lifeMs, expiration?.getTime() ?? Number.POSITIVE_INFINITY);
      if (expiresMs - now < lifeMinMs) {
        throw new Error("the credentials of the store of recordings end within a minute");
      }
      const command = new GetObjectCommand({
        ...at(objectKey),
        ResponseContentDisposition: `attachment; filename="${fileNameOf(objectKey)}"`,
        ResponseCacheControl: "private, no-store",
      });
      const url = await getSignedUrl(client, command, {
        expiresIn: Math.floor((expiresMs - now) / 1_000),
        signingDate: new Date(now),
      });
      return { url, shownUrl: url.slice(0, url.indexOf("?")), expiresMs };
    },
    close: () => client.destroy(),
  };
}

/** Whether the service says that there is no such thing. A bucket that is not there is another matter. */
const isAbsent = (error: unknown): boolean => {
  const { name = "", $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } };
  return (
    name !== "NoSuchBucket" &&
    ($metadata?.httpStatusCode === 404 || /^(NotFound|NoSuchKey|NoSuchUpload)$/.test(name))
  );
};
