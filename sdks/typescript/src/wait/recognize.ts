/** How a job stands, read from what vendors' SDKs return. */

import { isObject } from "../complaint.js";
import { UsageError } from "../error.js";
import type { Looked } from "../target/closure.js";

/** The words for a job that has ended, well or not, in small letters and nothing else, as they are compared. */
export const ENDED: string =
  "aborted canceled cancelled complete completed contentmoderated deleted done dubbed ended error errored expired fail " +
  "failed failure finished incomplete moderated partialfailure ready rejected requestmoderated stopped succeeded " +
  "success successful terminated timedout timeout validationfailed";

/** The words for a job that hasn't. */
export const RUNNING: string =
  "aborting accepted active booting building canceling cancellationrequested cancelling created downloading dreaming " +
  "dubbing finalizing generating indexing initializing inprogress inqueue new notstarted pending preparing " +
  "preprocessing processing provisioning queued queueing rendering running scheduled started starting submitted " +
  "submitting suspended throttled timingout training transcoding transcribing translating uploading validating " +
  "waiting working";

/** Where answers have the word, and in which parts of them. */
const PLACES = ["status", "state", "task_status", "job_status"];
const PARTS = ["data", "output", "job", "task", "metadata"];
/** Where they have how many seconds remain. */
const ETAS = ["eta", "eta_seconds", "estimated_time", "remaining_seconds"];

const includes = (words: string, word: string): boolean => ` ${words} `.includes(` ${word} `);

/** The word for a state as it is compared. `JOB_STATE_RUNNING` is how Google's enumerations have it. */
const plain = (value: unknown): string =>
  typeof value === "string"
    ? value
        .toLowerCase()
        .replace(/[^a-z]/g, "")
        .replace(/^jobstate/, "")
    : "";

/**
 * Reads a value. `done`, as long-running operations of Google have it, counts before any word. A word that no list
 * knows means that the job is running, and `warn` is told of it.
 */
export const recognize = (value: unknown, warn: (warning: string) => void): Looked => {
  const shape = isObject(value) ? value : {},
    parts = [shape, ...PARTS.map((name) => shape[name]).filter(isObject)];
  const said = [...parts.flatMap((part) => PLACES.map((name) => part[name])), value].find(plain) as string | undefined;
  let { done } = shape;
  if (typeof done !== "boolean") {
    // An operation says nothing at all until it is done.
    if (said === undefined && !("done" in shape) && !/(^|\/)operations\//.test(String(shape.name))) {
      throw new UsageError("what the look returned has no status that is known: say by `done` when it is done");
    }
    const word = plain(said);
    done = includes(ENDED, word);
    if (word && !done && !includes(RUNNING, word)) {
      warn(`"${said}" is no known word for a state, so the job is taken to run: say by \`done\` when it is done`);
    }
  }
  const { progress } = shape,
    isPercent = isObject(progress),
    share = numberOf(isPercent ? progress.percent : progress),
    scale = isPercent || share > 1 || /%/.test(progress as string) ? 100 : 1,
    eta = ETAS.map((name) => numberOf(shape[name])).find((eta) => eta < 1e6),
    [begun, ended] = [shape.created_at, shape.completed_at ?? shape.finished_at ?? shape.ended_at].map(timeOf),
    took = ended! - begun!;
  return {
    done: !!done,
    // One of a hundred and all of it look the same.
    progress: share < 1 || (share <= 100 && scale > 1) ? share / scale : undefined,
    remaining: eta && eta * 1000,
    took: done && took > 0 && took < 1e10 ? took : undefined,
  };
};

/** A number that isn't negative, or the text of one, which may be followed by a percent sign; else none. */
const numberOf = (value: unknown): number =>
  /^\s*\d+(\.\d+)?\s*%?\s*$/.test(value as string) ? parseFloat(value as string) : NaN;

/** Milliseconds since 1970, of seconds or milliseconds, told apart by their size, a text or a date. */
const timeOf = (value: unknown): number =>
  typeof value === "number" ? (value > 1e11 ? value : value * 1000) : Date.parse(String(value));
