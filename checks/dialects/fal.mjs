// fal: npm `@fal-ai/client`, unmodified. BASE_URL stands for https://queue.fal.run; the SDK knows that alone, and sends all to a
// proxy that it is given.
import { base, check, done, fails, receiver, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { fal } = require("@fal-ai/client");
fal.config({ credentials: "id:secret", proxyUrl: { url: `${base()}/proxy`, when: "always" } });
const APP = "fal-ai/veo3/fast";

let w = await directive("1s");
const seen = new Set();
const out = await fal.subscribe(APP, { input: { prompt: `a corgi ${w.text}` }, headers: w.headers, logs: true, onQueueUpdate: (it) => seen.add(it.status) });
check("subscribe() to the end", out.data.video.url, [...seen].join(" > "));
w = await directive("1s");
const streamed = await fal.subscribe(APP, { input: { prompt: w.text }, headers: w.headers, mode: "streaming" });
check("subscribe() by the stream", streamed.data.video.url);
w = await directive("500ms");
check("run() is answered with the result", (await fal.run(APP, { input: { prompt: w.text }, headers: w.headers })).data.video.url);
w = await directive("500ms");
let h = await fal.queue.submit(APP, { input: { prompt: w.text }, headers: w.headers });
check("submit", h.request_id && ["IN_QUEUE", "IN_PROGRESS"].includes(h.status), h.status);
await fal.queue.subscribeToStatus(APP, { requestId: h.request_id, pollInterval: 100 });
check("status, result", (await fal.queue.result(APP, { requestId: h.request_id })).data.video);
w = await directive("400ms", "boom");
check("a failing job rejects", await fails(fal.subscribe(APP, { input: { prompt: w.text }, headers: w.headers }), /ApiError|ValidationError/));
w = await directive("1h");
h = await fal.queue.submit(APP, { input: { prompt: w.text }, headers: w.headers });
await fal.queue.cancel(APP, { requestId: h.request_id });
check("cancel", (await fal.queue.status(APP, { requestId: h.request_id })).status === "COMPLETED");
const r = await receiver();
w = await directive("400ms");
h = await fal.queue.submit(APP, { input: { prompt: w.text }, headers: w.headers, webhookUrl: r.url });
check("webhook", JSON.parse((await r.take()).body).request_id === h.request_id);
done();
