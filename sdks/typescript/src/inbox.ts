import type { Clock } from "./rt/clock.js";
import type { Job } from "./wire.js";
export interface Subscription {
  close(): void;
  hasEnded(): boolean;
  unlessEnded<T>(
    clock: Clock,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | Job>;
}
export type Inbox = { a: 1 };
