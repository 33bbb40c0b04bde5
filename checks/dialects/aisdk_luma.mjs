// Vercel AI SDK (npm `ai` 6, `@ai-sdk/luma`), unmodified: generateImage creates, waits and downloads. BASE_URL stands for https://api.lumalabs.ai
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { experimental_generateImage: generate } = require("ai");
const sdk = require("@ai-sdk/luma");
const model = sdk.createLuma({ apiKey: "k", baseURL: base() }).image("photon-1");
const run = async (...a) => { const w = await directive(...a); return generate({ model, prompt: "a corgi " + w.text, headers: w.headers, maxRetries: 0, providerOptions: { luma: { pollIntervalMillis: 300, maxPollAttempts: 60 } } }); };
const x = await run("1s"); check("generateImage creates, waits and downloads", x.image.uint8Array.length > 0, x.image.mediaType);
const e = await fails(run("500ms", "boom"), /./); check("a failing one raises", e !== null, e.name + ": " + e.message);
done();
