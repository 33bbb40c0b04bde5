// Vercel AI SDK (npm `ai` 6, `@ai-sdk/fal`), unmodified: experimental_generateVideo creates, waits and downloads.
// BASE_URL stands for https://queue.fal.run. The SDK has no base URL for the queue: its `fetch` option sends its requests here.
// It sends its key to the origin that it submits to alone, and that is another here: `fetch` adds it.
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { experimental_generateVideo: generate } = require("ai");
const sdk = require("@ai-sdk/fal");
const here = (url, init) => fetch(String(url).replace("https://queue.fal.run", base()), { ...init, headers: { ...init?.headers, authorization: "Key id:secret" } });
const model = sdk.createFal({ apiKey: "id:secret", fetch: here }).video("luma-dream-machine");
const download = async () => ({ data: new Uint8Array([0, 0, 0, 24]), mediaType: "video/mp4" });
const run = async (...a) => { const w = await directive(...a); return generate({ model, prompt: "a corgi " + w.text, headers: w.headers, maxRetries: 0, download, providerOptions: { fal: { pollIntervalMs: 300, pollTimeoutMs: 20000 } } }); };
const x = await run("1s"); check("generateVideo creates and waits", x.videos.length === 1 && x.video.mediaType === "video/mp4");
const e = await fails(run("500ms", "boom"), /./); check("a failing one raises", e !== null, e.name + ": " + e.message);
done();
