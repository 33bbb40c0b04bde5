// What every host has to be able to do: bundled for it, and run in it by `hosts.test.mjs`.
import { Abide, AbideError, History, Inbox, learned, pollUntil } from "abide-client";
import { Verifier, sign } from "abide-client/webhooks";

/** Waits in every way against the server at that address; returns what came of it. */
export const run = async (server) => {
  const abide = new Abide(server),
    simulate = { duration: "1s", outcome: { error_chance: 0 } };
  const job = await abide.create("hosts", { simulate }),
    states = [];
  for await (const { status } of job.watch()) states.push(status);
  const held = await (await abide.create("hosts", { simulate })).wait({ timeout: "1m" });
  const ends = [];
  for await (const end of abide.asCompleted([job, await abide.create("hosts", { simulate })])) ends.push(end.ok);

  const polled = await abide.create("hosts", { simulate }),
    history = new History();
  const { value, report } = await pollUntil(() => polled.status(), { kind: "hosts", history, timeout: "1m" });
  const [first] = learned("hosts", { history }).preview({ random: () => 0.5 });
  const endless = await abide.create("hosts", { simulate: { duration: "1h" } });
  const late = await endless.wait({ timeout: "500ms" }).catch((error) => error);
  const reason = new Error("enough"),
    aborting = new AbortController();
  setTimeout(() => aborting.abort(reason), 100);
  const aborted = await endless.wait({ signal: aborting.signal }).catch((error) => error);

  const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    body = JSON.stringify({ type: "test" }),
    at = Math.floor(Date.now() / 1000);
  const headers = {
    "content-type": "application/json",
    "webhook-id": "msg_1",
    "webhook-timestamp": String(at),
    "webhook-signature": await sign(secret, "msg_1", at, body),
  };
  await new Verifier(secret).verify(headers, body);
  const push = () => new Request("http://inbox.test/", { method: "POST", headers, body });
  const { status } = await new Inbox({ secret }).handler()(push());
  return {
    watched: states.at(-1),
    held: held.outcome,
    ends,
    polled: value.status,
    looks: report.requests > 0,
    learned: history.jobs("hosts") === 1 && first > 0,
    late: late instanceof AbideError && late.timedOut && typeof late.token,
    aborted: aborted === reason,
    push: status,
  };
};
