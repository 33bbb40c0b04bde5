/** A server that is several nodes: a dead one is left at once. */

import { UsageError } from "./error.js";
import { neverConnected } from "./exchange.js";

/** Where the paths of an address begin. */
const pathOf = (server: string): string => server.replace(/^[^:]+:\/\/[^/]*/, "");

/**
 * Sends each request to the node that answered last. A node to which no connection can be made is left for the next
 * one, in the same exchange; so is, from the next exchange on, one that breaks a connection, gives no answer in time or
 * says that it can't answer (`503`). Which node answers doesn't matter: reads name the revision that they have seen.
 */
export const overNodes = (send: typeof fetch, servers: readonly [string, ...string[]]): typeof fetch => {
  const [first] = servers,
    other = servers.find((server) => pathOf(server) !== pathOf(first));
  if (other) throw new UsageError(`the path of ${other} is another one than that of ${first}`);
  // Counted on, so that of several requests to a dead node one leaves it.
  let current = 0;
  return async (url, init) => {
    for (let tried = 1; ; tried++) {
      const asked = current;
      let cause: unknown, answer: Response | undefined;
      try {
        answer = await send(servers[asked % servers.length] + String(url).slice(first.length), init);
        if (answer.status !== 503) return answer;
      } catch (error) {
        cause = error;
      }
      if (current === asked) current++;
      if (answer) return answer;
      if (!neverConnected(cause) || tried >= servers.length) throw cause;
    }
  };
};
