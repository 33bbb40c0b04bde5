/** What is waited for: a job on our server, a job on another's, or anything that a function looks at. */

import type { Account } from "../budget.js";
import type { Facts } from "../error.js";
import type { Channel } from "../report.js";
import type { Remaining } from "../schedule/seen.js";
import type { Opened } from "../sse.js";
import type { Until } from "../strategy/plan.js";
import type { Job } from "../wire.js";

/** What a look has shown. Times are in milliseconds. */
export interface Answer<V> {
  /** The state; none where the answer said "nothing new". */
  view?: V;
  done: boolean;
  revision?: number;
  /** The share of the work that is done. */
  progress?: number | undefined;
  remaining?: Remaining | undefined;
  /** How long the server wants to be left alone. */
  hint?: number | undefined;
  /** Whether the server says that it held the request. */
  granted?: boolean;
  channel: Channel;
  /** How old the end was when the answer was received. */
  age?: number | undefined;
  /** How long the job took by the server's clock. */
  duration?: number | undefined;
  /** How long the job has been accepted, by the server's clock. */
  acceptedFor?: number | undefined;
}

/** On what terms an exchange is made. */
export interface Exchange {
  /** Where a request is paid from. */
  account: Account;
  /** The most that it may take, beside the time that it is held. */
  limit: number;
  /** How many turns it gets in proportion to others; none for a last look, which isn't kept waiting. */
  weight: number | undefined;
  /** Ends it. */
  signal: AbortSignal | undefined;
}

/** What a held request asks for. */
export interface Hold {
  upTo: number;
  until: Until;
  after: number | undefined;
}

/** Something that is waited for. It neither retries nor sleeps; what it throws is a `Failure`. */
export interface Target<V> {
  /** Looks once. */
  ask(exchange: Exchange): Promise<Answer<V>>;
  /** Looks, to be answered at the first news. */
  hold?(hold: Hold, exchange: Exchange): Promise<Answer<V>>;
  /** Opens the stream of what happens after that revision. */
  listen?(after: number | undefined, exchange: Exchange): Promise<Opened>;
  /** Reads what a stream told; none if it isn't about the job. */
  read?(event: string, data: string): Answer<V> | undefined;
  /** Reads what an inbox was told. */
  pushed?(job: Job): Answer<V> | undefined;
  /** What an error is about. */
  facts(last: V | undefined): Facts;
}
