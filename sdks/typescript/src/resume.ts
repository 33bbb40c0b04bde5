/** What it takes to go on waiting in another process: a small versioned JSON, without any secret. */

import { UsageError } from "./error.js";

/** The longest token that is read, in characters. */
const TOKEN_CHARS_MAX = 4096;

/** The version of tokens that this package writes. */
const VERSION = 1;

/** What a token says. */
export interface Token {
  v: number;
  server: string;
  /** None where a create's answer never came. */
  job?: string | undefined;
  /** The idempotency key. */
  key?: string | undefined;
  kind?: string | undefined;
  created_at?: string | undefined;
  revision?: number | undefined;
}

/** A token as a text. */
export const writeToken = (token: Omit<Token, "v">): string => JSON.stringify({ v: VERSION, ...token });

/** Reads what `writeToken` or a client in another language wrote. */
export const readToken = (text: string): Token => {
  let token: Token | undefined;
  try {
    if (text.length <= TOKEN_CHARS_MAX) token = JSON.parse(text) as Token;
  } catch {
    // Told below.
  }
  if (typeof token?.server !== "string") throw new UsageError("this is not a resume token");
  if (token.v === VERSION) return token;
  throw new UsageError(`this resume token has version ${token.v}, and this release reads version ${VERSION}`);
};
