// Vercel AI SDK (npm `ai` 6, `@ai-sdk/alibaba`), unmodified: videos of Model Studio. BASE_URL stands for https://dashscope-intl.aliyuncs.com
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { experimental_generateVideo: generate } = require("ai");
const sdk = require("@ai-sdk/alibaba");
const model = sdk.createAlibaba({ apiKey: "k", videoBaseURL: base() }).video("wan2.6-t2v");
const download = async () => ({ data: new Uint8Array([0, 0, 0, 24]), mediaType: "video/mp4" });
const run = async (...a) => { const w = await directive(...a); return generate({ model, prompt: "a corgi " + w.text, headers: w.headers, maxRetries: 0, download, providerOptions: { alibaba: { pollIntervalMs: 300, pollTimeoutMs: 20000 } } }); };
const x = await run("1s"); check("generateVideo creates and waits", x.videos.length === 1 && x.video.mediaType === "video/mp4");
const e = await fails(run("500ms", "boom"), /./); check("a failing one raises", e !== null, e.name + ": " + e.message);
done();
