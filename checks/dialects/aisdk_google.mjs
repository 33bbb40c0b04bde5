// Vercel AI SDK (npm `ai` 6, `@ai-sdk/google`), unmodified: Veo of the developer API. BASE_URL stands for https://generativelanguage.googleapis.com
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { experimental_generateVideo: generate } = require("ai");
const sdk = require("@ai-sdk/google");
const model = sdk.createGoogleGenerativeAI({ apiKey: "k", baseURL: base() + "/v1beta" }).video("veo-3.1-generate-preview");
const download = async () => ({ data: new Uint8Array([0, 0, 0, 24]), mediaType: "video/mp4" });
const run = async (...a) => { const w = await directive(...a); return generate({ model, prompt: "a corgi " + w.text, headers: w.headers, maxRetries: 0, download, providerOptions: { google: { pollIntervalMs: 300, pollTimeoutMs: 20000 } } }); };
const x = await run("1s"); check("generateVideo creates and waits", x.videos.length === 1 && x.video.mediaType === "video/mp4");
const e = await fails(run("500ms", "boom"), /./); check("a failing one raises", e !== null, e.name + ": " + e.message);
done();
