// Replicate: npm `replicate`, unmodified. BASE_URL stands for https://api.replicate.com
import { base, check, done, fails, receiver, directive, MODE } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const Replicate = require("replicate");
const { validateWebhook } = Replicate;

// The SDK has no way to add a header to one request but its `fetch` option.
const client = (headers = {}) => new Replicate({ auth: "r8_test", baseUrl: `${base()}/v1`,
  fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }) });
const c = client();

let w = await directive("1s");
let p = await client(w.headers).predictions.create({ model: "owner/name", input: { prompt: `a corgi ${w.text}` } });
check("create", ["starting", "processing"].includes(p.status), p.status);
p = await c.wait(p, {});
check("wait to the end", p.status === "succeeded" && p.output, p.status);

w = await directive("600ms");
const out = await client(w.headers).run("owner/name", { input: { prompt: w.text } });
check("run() with Prefer: wait", out, String(out));

w = await directive("500ms", "boom");
check("a failing job rejects", await fails(client(w.headers).run("owner/name", { input: { prompt: w.text }, wait: { mode: "poll", interval: 100 } }), /Prediction failed/));

w = await directive("1h");
p = await client(w.headers).predictions.create({ version: "0123abcd", input: { prompt: w.text } });
p = await c.predictions.cancel(p.id);
check("cancel", p.status === "canceled", p.status);

const seen = [];
for await (const page of c.paginate(c.predictions.list)) seen.push(...page);
check("list, by its pages", seen.length >= 4 && new Set(seen.map((x) => x.id)).size === seen.length, seen.length);

const r = await receiver();
w = await directive("400ms");
p = await client(w.headers).predictions.create({ model: "owner/name", input: { prompt: w.text }, webhook: r.url, webhook_events_filter: ["completed"] });
const got = await r.take();
const { key } = await c.webhooks.default.secret.get();
check("webhook verifies by the SDK", await validateWebhook({ headers: got.headers, body: got.body.toString() }, key));
check("a forged one does not", !(await validateWebhook({ headers: got.headers, body: got.body.toString() + " " }, key)));
check("it tells of the job", JSON.parse(got.body).id === p.id);

check("an unknown id is an ApiError", await fails(c.predictions.get("nothere"), /404/));
w = await directive("700ms");
const events = [];
for await (const e of client(w.headers).stream("owner/name", { input: { prompt: w.text } })) events.push(e.event);
check("stream() ends with done", events.at(-1) === "done" && events.includes("output"), events.join(","));
done();
