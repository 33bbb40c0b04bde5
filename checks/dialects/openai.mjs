// OpenAI: npm `openai`, unmodified. BASE_URL stands for https://api.openai.com. The SDK has no waiter: the loops are ours.
import { base, check, done, fails, receiver, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { OpenAI, toFile } = require("openai");
const c = new OpenAI({ apiKey: "sk-test", baseURL: `${base()}/v1`, maxRetries: 0 });
const sleep = (ms) => new Promise((end) => setTimeout(end, ms));
async function until(it, words, read) { while (words.includes(it.status)) { await sleep(200); it = await read(it.id); } return it; }

let w = await directive("1s");
let v = await c.videos.create({ prompt: `a corgi ${w.text}`, seconds: "8" }, { headers: w.headers });
check("videos.create, a form", v.seconds === "8" && ["queued", "in_progress"].includes(v.status), v.status);
v = await until(v, ["queued", "in_progress"], (id) => c.videos.retrieve(id));
check("to the end", v.status === "completed" && v.progress === 100, v.status);
check("downloadContent", (await (await c.videos.downloadContent(v.id)).arrayBuffer()).byteLength > 0);
check("list", (await c.videos.list({ limit: 1 })).data.length === 1);
check("delete", (await c.videos.delete(v.id)).deleted);
check("a deleted one is NotFoundError", await fails(c.videos.retrieve(v.id), /404/));

w = await directive("600ms");
let a = await c.responses.create({ model: "gpt-test", input: `hello ${w.text}`, background: true }, { headers: w.headers });
a = await until(a, ["queued", "in_progress"], (id) => c.responses.retrieve(id));
check("a background response", a.status === "completed" && a.output_text, a.output_text);
w = await directive("1h");
a = await c.responses.create({ model: "gpt-test", input: w.text || "-", background: true }, { headers: w.headers });
check("responses.cancel", (await c.responses.cancel(a.id)).status === "cancelled");

const bytes = Buffer.alloc(700_000, "{}\n");
const f = await c.files.create({ file: await toFile(bytes, "in.jsonl"), purpose: "batch" });
check("files.create, of 700 KB", f.bytes === bytes.length && f.filename === "in.jsonl", f.bytes);
w = await directive("400ms", "bad");
const metadata = { note: w.text || "-" };
let b = await c.batches.create({ input_file_id: f.id, endpoint: "/v1/responses", completion_window: "24h", metadata }, { headers: w.headers });
b = await until(b, ["validating", "in_progress", "finalizing"], (id) => c.batches.retrieve(id));
check("a failing batch", b.status === "failed" && b.errors.data.length === 1, b.status);
done();
