/** A job API that isn't ours, described by data; the members are those of the Rust client's descriptions. */

import { UsageError } from "../error.js";

/**
 * Where a foreign job API has its things. Paths are below the client's address, with `{id}` for the job's id, in the
 * path or in the query, and `{kind}` for its kind, where that is a model or an endpoint; `{+id}` and `{+kind}` may have
 * slashes. Places in an answer are JSON pointers (RFC 6901). Those of some twenty vendors are in
 * `abide-client/remotes`.
 */
export interface Remote {
  /** What it is called; durations are learned under this name. */
  name: string;
  /** The address where it is: `new Abide(remote.base, { remote })`. */
  base?: string;
  /** The path that tells how a job stands, such as `/v1/videos/{id}`. */
  status: string;
  /** Where the answer has the word for how the job stands. */
  state: string;
  /**
   * The words for a job that hasn't ended. A word that is in none of the lists means the same, with a warning, unless
   * the description is strict. An empty word stands for a place that isn't there.
   */
  running?: readonly string[];
  /** Whether a word that is in none of the lists is an error. */
  strict?: boolean;
  /** The words for a job that ended well, failed, and was canceled. */
  completed: readonly string[];
  failed?: readonly string[];
  canceled?: readonly string[];
  /** The path to which a job is posted; none where jobs are made elsewhere. */
  create?: string;
  /** Where the answer to a create has the id. Default: `/id`. */
  id?: string;
  /** The header of the answer to a create that has the job's address, whose last part is the id. */
  id_header?: string;
  /** The path to which a cancel is sent, and the method with which it is: `POST` by default. */
  cancel?: string;
  cancel_method?: string;
  /** The path that is deleted to remove a job. */
  delete?: string;
  /** Where the answer has what the job made. Default: the whole answer. */
  result?: string;
  /**
   * The path that has the result, where the answer about the job doesn't: it is read once, when the job has completed.
   */
  result_path?: string;
  /** Where the answer has something only if the job failed, whatever its word. */
  failed_if?: string;
  /** Where the answer has why the job failed: a text, or an object with a `message` and a `code`. */
  error?: string;
  /** Where the answer has the code of that, if it is elsewhere. */
  error_code?: string;
  /** Where the answer has how far the job has come, and what that number is at the end: 100 by default. */
  progress?: string;
  progress_whole?: number;
  /** Where the answer has how many seconds the job will still take. */
  remaining?: string;
  /**
   * Where the answer has when the job was accepted, and when it ended: RFC 3339, or seconds or milliseconds since 1970.
   */
  created_at?: string;
  finished_at?: string;
  /** Headers with milliseconds before which the server doesn't want to be asked again, beside `Retry-After`. */
  hint_headers?: readonly string[];
  /** The header that names one logical create. Without one a create whose answer was lost isn't sent again. */
  idempotency_header?: string;
  /** Headers that are sent with every request. */
  headers?: Readonly<Record<string, string>>;
  /** The header that carries the API key, and what stands before the key in it. Default: `Authorization: Bearer `. */
  key_header?: string;
  key_prefix?: string;
}

/** Says what is wrong with a description; such a mistake would otherwise show as a wait that never ends. */
export const checkRemote = (remote: Remote): void => {
  const wrong = (why: string): never => {
    throw new UsageError(`the remote is described wrongly: ${why}`);
  };
  const {
    canceled = [],
    completed,
    created_at,
    error,
    failed = [],
    finished_at,
    id,
    progress,
    remaining,
    result,
  } = remote;
  if (!completed?.length) wrong("no word says that a job has completed");
  for (const place of [
    remote.state,
    remote.failed_if,
    remote.error_code,
    id,
    result,
    error,
    progress,
    remaining,
    created_at,
    finished_at,
  ]) {
    if (place && !place.startsWith("/")) {
      wrong(`"${place}" is not a JSON pointer: did you mean "/${place.replaceAll(".", "/")}"?`);
    }
  }
  const lists = [remote.running ?? [], completed, failed, canceled].map(
    (list) => new Set(list.map((word) => word.toLowerCase())),
  );
  const words = lists.flatMap((list) => [...list]),
    twice = words.find((word, i) => words.indexOf(word) !== i);
  if (twice) wrong(`the word "${twice}" is in two lists`);
};
