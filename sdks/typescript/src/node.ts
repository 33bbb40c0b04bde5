/** What needs a file system: for Node, Deno and Bun. */

import { type FileHandle, mkdir, open, readFile, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { compact } from "./schedule/learned/record.js";
import { COMPACT_BYTES, type HistoryStore } from "./schedule/learned/store.js";

/** How many files are read when a directory is opened, the latest first. */
const OPENED_MAX = 1024;

/** The greatest file that is read, in bytes. */
const FILE_BYTES_MAX = 1024 * 1024;

/** After how long a kind that nobody learned of is deleted, in ms: 90 days. */
const UNUSED = 90 * 24 * 3_600_000;

/** Counts the temporary files of the process, so that no two are one. */
let temporaryFiles = 0;

/**
 * Keeps a history in a directory, one small file per kind of job. The form is that of the Rust client: several
 * processes may share a directory, whichever client they use, and lose nothing of each other.
 */
export const fileStore = (directory: string): HistoryStore => ({
  async load() {
    const names = await readdir(directory).catch(() => []);
    const files: { path: string; at: number }[] = [];
    for (const name of names.filter((name) => name.endsWith(".jsonl"))) {
      const path = join(directory, name),
        file = await stat(path).catch(() => undefined);
      if (!file?.isFile() || file.size > FILE_BYTES_MAX) continue;
      // What can't be deleted does no harm.
      if (Date.now() - file.mtimeMs > UNUSED) await rm(path, { force: true }).catch(() => {});
      else files.push({ path, at: file.mtimeMs });
    }
    files.sort((a, b) => a.at - b.at);
    return Promise.all(files.slice(-OPENED_MAX).map(({ path }) => readFile(path, "utf8").catch(() => "")));
  },

  async append(name, lines) {
    await mkdir(directory, { recursive: true });
    const path = join(directory, name),
      file = await open(path, "a");
    try {
      // In one write, which the system puts at the end of the file whatever others do.
      await file.write(lines);
      if ((await file.stat()).size > COMPACT_BYTES) await replace(path);
    } finally {
      await file.close();
    }
  },
});

/** Makes a file as short as it can be. What others add meanwhile is carried over. */
const replace = async (path: string): Promise<void> => {
  const temporary = `${path}.${process.pid}.${temporaryFiles++}.tmp`;
  const old = await open(path, "r"),
    rest = async (): Promise<string> => (await readRest(old)).toString();
  try {
    const short = compact(await rest());
    const file = await open(temporary, "ax");
    try {
      await file.write(short);
      await file.write(await rest());
      await rename(temporary, path);
      // Those who had opened the file before it was replaced have written by now, or nearly all of them.
      await file.write(await rest());
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  } finally {
    await old.close();
  }
};

/** Reads on to the end of a file. */
const readRest = async (file: FileHandle): Promise<Buffer> => {
  const parts: Buffer[] = [];
  for (;;) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64 * 1024));
    if (!bytesRead) return Buffer.concat(parts);
    parts.push(buffer.subarray(0, bytesRead));
  }
};
