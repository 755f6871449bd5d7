import { statfs } from "node:fs/promises";
import { Refusal } from "../refusal.ts";
import { bytesText } from "./upload-limits.ts";

/** Asked for at a time, so that not each chunk needs a look at the disk. */
const stepBytes = 4 * 2 ** 20;

/** The free space of a disk, of which a reserve stays for PostgreSQL, whose write-ahead log must not find it full. */
export interface DiskSpace {
  /** @throws Refusal storage_full when so many bytes would leave less than the reserve. */
  expect(bytes: number): Promise<void>;
  /** Space for one file as it is written. */
  begin(): FileSpace;
}

interface FileSpace {
  /** To be called before so many bytes are written. @throws Refusal storage_full when they would leave less than the reserve. */
  take(bytes: number): Promise<void>;
  /** The file is whole, or gone. */
  end(): void;
}

export function createDiskSpace(folder: string, reserveBytes: number): DiskSpace {
  /** Granted to files of this process and not written yet: the disk does not show it as used. */
  let granted = 0;

  const expect = async (bytes: number): Promise<void> => {
    // Counted before the disk is asked: another file may ask meanwhile.
    granted += bytes;
    try {
      const { bavail, bsize } = await statfs(folder);
      const free = bavail * bsize;
      if (free - granted >= reserveBytes) return;
      throw new Refusal(
        "storage_full",
        `The disk of recordings has ${bytesText(free)} free, of which ${bytesText(reserveBytes)} are kept for PostgreSQL (SENDOFF_DISK_RESERVE); nothing was kept of this upload. Make room, then send it again.`,
        { headers: { connection: "close" } },
      );
    } finally {
      granted -= bytes;
    }
  };
  return {
    expect,
    begin() {
      let mine = 0;
      return {
        async take(bytes) {
          if (bytes > mine) {
            const more = Math.max(stepBytes, bytes - mine);
            await expect(more);
            mine += more;
            granted += more;
          }
          mine -= bytes;
          granted -= bytes;
        },
        end() {
          granted -= mine;
          mine = 0;
        },
      };
    },
  };
}
