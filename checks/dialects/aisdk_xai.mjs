// Vercel AI SDK (npm `ai` 6, `@ai-sdk/xai`), unmodified: experimental_generateVideo creates, waits and downloads.
// BASE_URL stands for the vendor's origin. `download` is given because the SDK refuses to fetch a result from loopback or private addresses.
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { experimental_generateVideo: generate } = require("ai");
const sdk = require("@ai-sdk/xai");
const model = sdk.createXai({ apiKey: "k", baseURL: base() + "/v1" }).video("grok-imagine-video");
const download = async () => ({ data: new Uint8Array([0, 0, 0, 24]), mediaType: "video/mp4" });
const run = async (...a) => { const w = await directive(...a); return generate({ model, prompt: "a corgi " + w.text, headers: w.headers, maxRetries: 0, download, providerOptions: { xai: { pollIntervalMs: 300, pollTimeoutMs: 20000 } } }); };
const x = await run("1s"); check("generateVideo creates and waits", x.videos.length === 1 && x.video.mediaType === "video/mp4");
const e = await fails(run("500ms", "boom"), /./); check("a failing one raises", e !== null, e.name + ": " + e.message);
done();
