/** Whatever is waited for is cut at its n-th await, for every n: nothing is left behind, and the next wait works. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { Abide, Budget, History, Inbox, fixed, longPoll, poll, pollUntil, stream, webhook } from "../dist/index.js";
import { Server } from "./server.js";
import { World } from "./world.js";

/** What a work is done with. */
interface Scene {
  world: World;
  server: Server;
  abide: Abide;
  inbox: Inbox;
  budget: Budget;
  /** A job that changes twice and ends after 12 s. */
  id: string;
  signal: AbortSignal;
}

const scene = (signal: AbortSignal): Scene => {
  const world = new World(),
    server = new Server(world),
    budget = new Budget(),
    options = { fetch: server.fetch, clock: world, random: world.random, budget };
  const abide = new Abide("http://jobs.test/", options);
  return { world, server, abide, budget, inbox: new Inbox(), id: server.job(12_000, [2000, 5000]), signal };
};

const drain = async (items: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of items);
};

const WORKS: Record<string, (scene: Scene) => Promise<unknown>> = {
  wait: ({ abide, id, signal }) => abide.job(id).wait({ signal, timeout: "2m" }),
  "a wait whose first requests fail": ({ abide, id, server, signal }) => {
    server.fault = ({ nth }) => (nth < 4 ? new TypeError("fetch failed") : undefined);
    return abide.job(id).wait({ signal });
  },
  "a wait up to its deadline": ({ abide, id, signal }) =>
    abide
      .job(id)
      .wait({ signal, timeout: "5s", onTimeout: "cancel" })
      .catch((error: Error) => {
        if (error.name !== "StillRunning") throw error;
      }),
  polls: ({ abide, id, signal }) => abide.job(id).wait({ signal, strategy: poll() }),
  "short holds": ({ abide, id, signal }) => abide.job(id).wait({ signal, strategy: longPoll({ hold: "5s" }) }),
  stream: ({ abide, id, signal }) => abide.job(id).wait({ signal, strategy: stream(), onUpdate: () => {} }),
  watch: ({ abide, id, signal }) => drain(abide.job(id).watch({ signal })),
  "a mute stream": ({ abide, id, server, signal }) => {
    server.tells = false;
    return drain(abide.job(id).watch({ signal }));
  },
  webhook: ({ abide, id, inbox, server, signal, world }) => {
    const push = (): boolean => inbox.deliver(server.show(server.jobs.get(id)!));
    world.sleep(8000, signal).then(push, () => {});
    return abide.job(id).wait({ signal, strategy: webhook(inbox) });
  },
  set: ({ abide, id, server, signal }) => {
    const ids = [id, ...Array.from({ length: 9 }, (_, i) => server.job(5000 + 3000 * (i % 2)))];
    return abide
      .asCompleted(
        ids.map((id) => abide.job(id)),
        { signal },
      )
      .all();
  },
  feed: ({ abide, id, server, signal }) => {
    let opened = 0;
    server.fault = ({ path }) => {
      if (path !== "/v1/events") return undefined;
      if (++opened > 4) return new Response(null, { status: 204 });
      if (opened === 2) return new Response("{}", { status: 503 });
      const data = JSON.stringify(server.show(server.jobs.get(id)!));
      return new Response(`event: job.progress\nid: a-1\ndata: ${data}\n\n`, {
        headers: { "content-type": "text/event-stream" },
      });
    };
    return drain(abide.feed({ signal }));
  },
  list: ({ abide, id, server, signal }) => {
    let pages = 0;
    server.fault = ({ path }) =>
      path.startsWith("/v1/jobs?") || path === "/v1/jobs"
        ? Response.json({ jobs: [server.show(server.jobs.get(id)!)], next_page_token: ++pages < 3 ? `${pages}` : null })
        : undefined;
    return drain(abide.list({ signal }));
  },
  create: ({ abide, server, signal }) => {
    server.fault = ({ nth }) => (nth < 3 ? new Response("{}", { status: 503 }) : undefined);
    return abide.create("k", {}, { signal });
  },
  status: ({ abide, id, signal }) => abide.job(id).status({ signal }),
  "poll until": ({ abide, budget, id, signal, world }) => {
    const job = abide.job(id),
      options = { clock: world, random: world.random, history: new History(), budget, schedule: fixed("5s"), signal };
    return pollUntil(({ signal }) => job.status({ signal }), options);
  },
  "claim, report and end": async ({ abide, server, signal, world }) => {
    world.sleep(3000, signal).then(
      () => server.work(),
      () => {},
    );
    const lease = await abide.claim("k", { signal, lease: "9s" });
    try {
      await lease.whileHeld((held) => world.sleep(4000, AbortSignal.any([signal, held])));
      await lease.progress(50, "half", { signal });
      await lease.complete({ made: true }, { signal });
    } finally {
      lease.close();
    }
  },
};

/** Nothing is left: no timer, request, stream, member of a set or listener. */
const nothingLeft = async ({ abide, inbox, server, signal, world }: Scene, what: string): Promise<void> => {
  for (let i = 0; i < 5; i++) await new Promise((next) => setImmediate(next));
  const left = [world.timers, server.open, server.streams, abide.load, inbox.listeners];
  assert.deepEqual(left, [0, 0, 0, { members: 0, flights: 0 }, 0], what);
  assert.equal(getEventListeners(signal, "abort").length, 0, `listeners after ${what}`);
};

for (const [name, work] of Object.entries(WORKS)) {
  test(`cut at any await, ${name} leaves nothing behind and everything usable`, async () => {
    for (let n = 1; ; n++) {
      const aborting = new AbortController(),
        reason = new Error("enough"),
        all = scene(aborting.signal),
        { abide, server, world } = all,
        what = `${name} at ${n}`;
      let steps = 0;
      const step = (): void => {
        if (++steps === n) aborting.abort(reason);
      };
      world.hop = server.step = step;
      const outcome = await world.run(
        work(all).then(
          () => undefined,
          (error: unknown) => error,
        ),
      );
      world.hop = undefined;
      server.step = () => {};
      if (!aborting.signal.aborted) {
        assert.equal(outcome, undefined, name);
        assert.ok(n > 24, `${name} took ${n} steps`);
        return;
      }
      // What had been done by then is done.
      assert.ok(outcome === reason || outcome === undefined, `${what}: ${String(outcome)}`);
      await nothingLeft(all, what);
      server.fault = () => undefined;
      server.tells = true;
      const done = await world.run(abide.job(server.job(1000)).wait());
      assert.equal(done.outcome, "completed", `a wait after ${what}`);
      await nothingLeft(all, what);
    }
  });
}
