/** One request and its answer, and what kind of answer it is. */

import { problemOf } from "./complaint.js";
import { Garbled, Refused, Unreachable } from "./error.js";
import { Failure, garbled, tooSlow, unsendable } from "./failure.js";
import type { Origin } from "./origin.js";
import { retryAfter } from "./retry.js";
import { AWAKE, LATE, before } from "./rt/clock.js";

/** The largest answer about one job, and about many, that is read, in bytes. */
export const JOB_BYTES_MAX: number = 4 * 1024 * 1024;
export const JOBS_BYTES_MAX: number = 64 * 1024 * 1024;

/** The largest problem that is read, in bytes, and how long it may take to arrive once its status is known, in ms. */
const PROBLEM_BYTES_MAX: number = 64 * 1024;
const PROBLEM_WAIT = 2000;

/** Errors of a connection that never came to be, as the hosts name them. */
const NEVER_CONNECTED = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
];

/** What to send. */
export interface Call {
  method?: string;
  url: string;
  headers?: Record<string, string>;
  /** Written as JSON. */
  body?: unknown;
  /** Whether it may be sent again although it may have reached the server. Default: yes. */
  repeatable?: boolean;
  /** When the job that it is about was made, if this process did that: not all of the server may know it yet. */
  accepted?: number | undefined;
  /** The largest body of a good answer. */
  limit?: number;
}

/** A good answer: 2xx or 304. */
export interface Reply {
  status: number;
  headers: Headers;
  text: string;
  /** When it was sent and when it had arrived, by the client's clock. */
  sent: number;
  received: number;
}

/** Whether the server says that it held the request. */
export const wasHeld = ({ headers }: Reply): boolean => !!headers.get("preference-applied")?.includes("wait");

/** The JSON of an answer. */
export const jsonOf = <T>({ headers, status, text }: Reply, what: string): T => {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    const kind = headers.get("content-type") ?? "no content type";
    throw garbled(`the answer (${kind}) holds no ${what}`, { status, cause });
  }
};

/** How long a server may hold in truth: it may let go a little later, so that not all are let go together. */
export const stretched = (hold: number): number => hold + hold / 8;

/** Sends and reads to the end, all of it within `limit`. */
export const exchange = async (
  origin: Origin,
  call: Call,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<Reply> => {
  const { clock } = origin,
    sent = clock.now();
  const reply = await before(
    clock,
    sent + limit,
    signal,
    async (signal) => {
      const { body, headers, status } = await send(origin, call, signal);
      const text = await collect(body, call.limit ?? JOB_BYTES_MAX);
      return { status, headers, text, sent, received: clock.now() };
    },
    AWAKE,
  );
  if (reply === LATE) throw tooSlow(limit);
  return reply;
};

/** Sends, and reads the head of a good answer. The body of any other is read for the problem in it. */
export const send = async (origin: Origin, call: Call, signal: AbortSignal): Promise<Response> => {
  const { method = "GET", url } = call,
    headers: Record<string, string> = { ...origin.headers, accept: "application/json", ...call.headers };
  const init: RequestInit = { method, headers, signal, cache: "no-store", redirect: "manual" };
  if (call.body !== undefined) {
    headers["content-type"] = "application/json";
    try {
      init.body = JSON.stringify(call.body);
    } catch (cause) {
      throw unsendable(`this can't be written as JSON: ${(cause as Error).message}`, cause);
    }
  }
  let answer: Response;
  try {
    answer = await origin.fetch(url, init);
  } catch (cause) {
    signal.throwIfAborted();
    throw broken(cause);
  }
  if (answer.ok || answer.status === 304) {
    origin.budget.answered();
    return answer;
  }
  if (answer.status === 429) origin.budget.refused();
  throw await refusalOf(origin, answer, signal);
};

/** What hosts say of a request that had no answer. */
type NoAnswer = { message?: string; cause?: { code?: string; message?: string } };

/** Whether the request surely never reached a server. */
export const neverConnected = (cause: unknown): boolean =>
  NEVER_CONNECTED.includes((cause as NoAnswer).cause?.code ?? "");

/** The answer to a request that had none. */
const broken = (cause: unknown): Failure => {
  const { message, cause: deeper } = cause as NoAnswer;
  const why = [message, deeper?.message || deeper?.code].filter(Boolean).join(": ");
  return new Failure(Unreachable, `there was no answer: ${why}`, { cause, harmless: neverConnected(cause) });
};

/** What a bad answer is. */
const refusalOf = async (origin: Origin, answer: Response, signal: AbortSignal): Promise<Failure> => {
  const { headers, status } = answer;
  // A problem that can't be read, or doesn't come, is no problem: the status says enough.
  const reading = (): Promise<string> => collect(answer.body, PROBLEM_BYTES_MAX).catch(() => "");
  const text = await before(origin.clock, origin.clock.now() + PROBLEM_WAIT, signal, reading);
  const body = text === LATE ? "" : text,
    problem = problemOf(body, status);
  // A login page of a hotel comes by a redirect that passes; a moved server by another one. A browser hides both.
  const passes = status === 0 || status === 302 || status === 303 || status === 307 || status < 300;
  const later = [408, 425, 429].includes(status) || status >= 500 || (status === 409 && problem?.retryable);
  const place = headers.get("location") ?? "elsewhere";
  const redirect = status === 0 || (status >= 300 && status < 400);
  const where = redirect ? `, to ${place}; redirects are not followed, because a key would go with them` : "";
  return new Failure(
    later ? Unreachable : passes ? Garbled : Refused,
    `the server answered ${status || "with a redirect"}${where}`,
    {
      status,
      harmless: status === 429,
      hint: retryAfter((name) => headers.get(name)),
      problem,
      body: body || undefined,
    },
  );
};

/** Reads a body to its end, up to that many bytes. */
const collect = async (body: Response["body"], limit: number): Promise<string> => {
  const decoder = new TextDecoder(),
    reader = body?.getReader();
  let text = "",
    size = 0;
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (done) return text + decoder.decode();
      size += value.length;
      if (size > limit) {
        throw new Failure(Garbled, `the answer is larger than ${limit} bytes`, { final: true });
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (cause) {
    reader?.cancel().catch(() => {});
    throw cause instanceof Failure ? cause : broken(cause);
  }
};
