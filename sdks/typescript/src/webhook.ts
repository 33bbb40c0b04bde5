/**
 * Signing and verifying webhooks, as Standard Webhooks has it: HMAC-SHA256 over `id.timestamp.body`.
 *
 * A receiver recomputes the signature from the bytes that it received, before it parses them.
 */

import { UsageError } from "./error.js";
import type { Event, Job } from "./wire.js";

/** How far a delivery's timestamp may lie from now, either way, in seconds. */
const TOLERANCE = 300;

/** The fewest and the most bytes of a secret. */
const SECRET_BYTES_MIN = 24,
  SECRET_BYTES_MAX = 64;

/** The longest `webhook-id`, and the most signatures of one delivery, that are looked at. */
const ID_CHARS_MAX = 256,
  SIGNATURES_MAX = 16;

/** How many ids a `ReplayGuard` remembers, and how many times as many within their tolerance. */
const REPLAY_IDS = 65_536,
  REPLAY_GROWTH_MAX = 16;

const HMAC = { name: "HMAC", hash: "SHA-256" };

/** Why a delivery is not to be believed. Answer any of them with 400 or 401, and do nothing else. */
export class VerifyError extends Error {
  /** What to answer with. */
  readonly status = 401;
  override readonly name = "VerifyError";
}

/** A delivery whose signature has been checked. */
export interface Delivery {
  /** Its id, the same at every attempt. */
  id: string;
  /** What happened, such as `job.completed`; empty where the body doesn't say. */
  type: string;
  /** The very bytes that came. */
  body: Uint8Array;
  /** What they say; none where they are no JSON. */
  event: unknown;
  /** The job that it tells of; none for a test, and for anything that isn't of a job. */
  job: Job | undefined;
}

/** Finds a header by its lower-case name. */
type Find = (name: string) => string | null | undefined;

/** The headers of a delivery: those of a `Request`, of Node's `IncomingMessage`, or a function that finds one. */
export type DeliveryHeaders = Headers | Record<string, string | string[] | undefined> | Find;

const finder = (headers: DeliveryHeaders): Find =>
  typeof headers === "function"
    ? headers
    : headers instanceof Headers
      ? (name) => headers.get(name)
      : (name) => [headers[name]].flat()[0];

const fromBase64 = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const toBase64 = (bytes: ArrayBuffer): string => btoa(String.fromCharCode(...new Uint8Array(bytes)));

/** The key of a secret, `whsec_…`. */
const keyOf = (secret: string): Promise<CryptoKey> => {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = fromBase64(secret.trim().replace(/^whsec_/, ""));
  } catch {
    throw new UsageError("a secret must be `whsec_` followed by base64");
  }
  if (bytes.length < SECRET_BYTES_MIN || bytes.length > SECRET_BYTES_MAX) {
    const bounds = `${SECRET_BYTES_MIN} to ${SECRET_BYTES_MAX} bytes long before base64`;
    throw new UsageError(`a secret must be ${bounds}, but is ${bytes.length}`);
  }
  return crypto.subtle.importKey("raw", bytes, HMAC, false, ["sign", "verify"]);
};

/** What is signed. */
const signed = (id: string, timestamp: string | number, body: Uint8Array): Uint8Array<ArrayBuffer> => {
  const head = new TextEncoder().encode(`${id}.${timestamp}.`),
    bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
};

const bytesOf = (body: string | Uint8Array): Uint8Array =>
  typeof body === "string" ? new TextEncoder().encode(body) : body;

/**
 * What `webhook-signature` says: one signature per secret, separated by spaces. The timestamp is in whole seconds since
 * 1970.
 */
export const sign = async (
  secrets: string | readonly string[],
  id: string,
  timestamp: number,
  body: string | Uint8Array,
): Promise<string> => {
  const signature = async (secret: string): Promise<string> => {
    const mac = await crypto.subtle.sign("HMAC", await keyOf(secret), signed(id, timestamp, bytesOf(body)));
    return `v1,${toBase64(mac)}`;
  };
  return (await Promise.all([secrets].flat().map(signature))).join(" ");
};

/** Decides whether the sender of a delivery has one of the secrets. */
export class Verifier {
  readonly #keys: Promise<CryptoKey[]>;
  readonly #tolerance: number;

  /** Accepts signatures made with any of these secrets. `tolerance` is in seconds; 300 by default. */
  constructor(secrets: string | readonly string[], tolerance: number = TOLERANCE) {
    this.#keys = Promise.all([secrets].flat().map(keyOf));
    this.#keys.catch(() => {});
    this.#tolerance = tolerance;
  }

  /**
   * Checks that these headers and exactly these bytes are to be believed; throws a `VerifyError` if not. A delivery
   * that passes may still be a repetition: ask a `ReplayGuard` next.
   */
  async verify(
    headers: DeliveryHeaders,
    body: string | Uint8Array,
    now: number = Date.now() / 1000,
  ): Promise<Delivery> {
    const find = finder(headers),
      need = (name: string): string => {
        const value = find(name);
        if (value) return value;
        throw new VerifyError(`the header \`${name}\` is missing`);
      };
    const id = need("webhook-id"),
      timestamp = need("webhook-timestamp"),
      signature = need("webhook-signature");
    // An id with a `.` could be part of the signed timestamp.
    if (id.length > ID_CHARS_MAX || id.includes(".")) throw new VerifyError("the header `webhook-id` is not an id");
    // Digits alone: a sign, a space or a fraction would be read as another number elsewhere.
    if (!/^\d{1,15}$/.test(timestamp)) {
      throw new VerifyError("the header `webhook-timestamp` is not a number of seconds");
    }
    const off = Math.floor(now) - Number(timestamp);
    if (off > this.#tolerance) throw new VerifyError("the delivery was signed too long ago");
    if (-off > this.#tolerance) throw new VerifyError("the delivery was signed in the future");
    const bytes = bytesOf(body),
      data = signed(id, timestamp, bytes);
    // 32 bytes are 44 characters; anything else needn't be decoded to be refused.
    const given = signature
      .split(" ")
      .filter((part) => /^v1,[A-Za-z0-9+/]{43}=$/.test(part))
      .slice(0, SIGNATURES_MAX);
    // Every pair is compared, each in constant time, so that the time taken doesn't tell which one matched.
    let matched = false;
    for (const key of await this.#keys) {
      for (const part of given) {
        if (await crypto.subtle.verify("HMAC", key, fromBase64(part.slice(3)), data)) matched = true;
      }
    }
    if (!matched) throw new VerifyError("no signature matches");
    return deliveryOf(id, bytes);
  }
}

const deliveryOf = (id: string, body: Uint8Array): Delivery => {
  let event: unknown;
  try {
    // A byte order mark is kept, and refused: it is no JSON to the other clients.
    event = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    // It has no event.
  }
  const { data, type } = (event ?? {}) as Partial<Event>;
  const job = typeof data?.id === "string" && typeof data.revision === "number" && typeof data.done === "boolean";
  return { id, type: typeof type === "string" ? type : "", body, event, job: job ? data : undefined };
};

/** A `ReplayGuard` has no room for another delivery. Ask the sender to come back. */
export class GuardFull extends Error {
  /** What to answer with. */
  readonly status = 503;
  override readonly name = "GuardFull";
}

/**
 * Remembers which deliveries have been taken, so that each is taken once. Ask after verifying. Beyond its capacity the
 * oldest is forgotten, once it is older than twice the tolerance: till then its signature may still be good. Sixteen
 * times the capacity are remembered at most, and further ones are refused. It forgets with the process.
 */
export class ReplayGuard {
  /** When each came, in seconds; the oldest first. */
  readonly #seen: Map<string, number> = new Map();
  readonly #capacity: number;
  readonly #kept: number;

  /** `tolerance` is that of the verifier before it, in seconds. */
  constructor(capacity: number = REPLAY_IDS, tolerance: number = TOLERANCE) {
    this.#capacity = Math.max(capacity, 1);
    // A timestamp may lie ahead by the tolerance and is good until it lies behind by as much.
    this.#kept = 2 * tolerance;
  }

  /** Notes the id; true the first time it is seen. Throws `GuardFull` if there is no room for it. */
  isNew(id: string, now: number = Date.now() / 1000): boolean {
    const seen = this.#seen;
    if (seen.has(id)) return false;
    for (const [oldest, at] of seen) {
      if (seen.size < this.#capacity || now - at <= this.#kept) break;
      seen.delete(oldest);
    }
    if (seen.size >= REPLAY_GROWTH_MAX * this.#capacity) {
      throw new GuardFull("more deliveries have come within their tolerance than can be remembered");
    }
    seen.set(id, now);
    return true;
  }

  /** Takes the note back, for a delivery that could not be dealt with and that the sender will repeat. */
  forget(id: string): void {
    this.#seen.delete(id);
  }
}
