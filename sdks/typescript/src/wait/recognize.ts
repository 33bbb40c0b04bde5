/** How a job stands, read from what vendors' SDKs return. */

import { UsageError } from "../error.js";
import type { Looked } from "../target/closure.js";

/** The words for a job that has ended, well or not, in small letters alone. */
const ENDED =
  "succeeded success successful complete completed done ready finished ended dubbed " +
  "fail failed failure error errored canceled cancelled aborted expired rejected timedout timeout incomplete deleted " +
  "stopped terminated partialfailure validationfailed";

/** The words for a job that has not. */
const RUNNING =
  "created pending queued inqueue waiting throttled scheduled submitted accepted starting started notstarted " +
  "preparing validating running inprogress processing dubbing generating rendering dreaming translating indexing " +
  "transcribing active working finalizing canceling cancelling cancellationrequested aborting timingout suspended " +
  "downloading uploading";

const includes = (words: string, word: string): boolean => ` ${words} `.includes(` ${word} `);

/** Where answers have the word, one level down at most. */
const PLACES = ["status", "state", "task_status", "taskStatus"];
const LEVELS = ["data", "output", "job", "metadata", "response"];

type Shape = Record<string, unknown>;

const find = (value: Shape, names: string[]): unknown => {
  for (const level of [value, ...LEVELS.map((level) => value[level])]) {
    for (const name of names) {
      const found = (level as Shape | undefined | null)?.[name];
      if (found !== undefined && found !== null && typeof found !== "object") return found;
    }
  }
  return undefined;
};

/**
 * Reads a value. `done: true`, as long-running operations of Google have it, and `done: false` count before any word. A
 * word that no list knows means that the job is running, and `warn` is told of it.
 */
export const recognize = (value: unknown, warn: (warning: string) => void): Looked => {
  const shape = (value ?? {}) as Shape;
  if (typeof value === "object" && typeof shape.done === "boolean") return { done: shape.done, ...hints(shape) };
  const word = find(shape, PLACES);
  if (typeof word !== "string") {
    // An operation says nothing at all until it is done.
    if (/(^|\/)operations\//.test(String(shape.name))) return { done: false };
    throw new UsageError("what the look returned has no status that is known: say by `done` when it is done");
  }
  const plain = word.toLowerCase().replace(/[^a-z]/g, ""),
    done = includes(ENDED, plain);
  if (!done && !includes(RUNNING, plain)) {
    warn(
      `nobody knows what the status ${JSON.stringify(word)} means, so it counts as running: ` +
        "say by `done` when it is done",
    );
  }
  return { done, ...hints(shape) };
};

/** Progress as a share or in percent, told apart by its size, and the seconds that remain. */
const hints = (shape: Shape): Omit<Looked, "done"> => {
  const progress = Number(find(shape, ["progress", "progress_percent", "percent"]) ?? NaN),
    eta = find(shape, ["eta"]);
  return {
    // A progress of 1 may be one percent or all of it.
    progress: progress > 1 ? progress / 100 : progress < 1 ? progress : undefined,
    remaining: typeof eta === "number" && eta >= 0 ? eta * 1000 : undefined,
  };
};
