// Vercel AI SDK (npm `ai` 6, `@ai-sdk/assemblyai`), unmodified: experimental_transcribe uploads, creates and waits. BASE_URL stands
// for https://api.assemblyai.com; the SDK has no option for it but `fetch`. What is said to happen is in the recording or in a header.
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { experimental_transcribe: transcribe } = require("ai");
const sdk = require("@ai-sdk/assemblyai");
const here = (url, init) => fetch(String(url).replace("https://api.assemblyai.com", base()), init);
const model = sdk.createAssemblyAI({ apiKey: "k", fetch: here, pollingInterval: 300 }).transcription("best");
const run = async (...a) => { const w = await directive(...a); return transcribe({ model, audio: new TextEncoder().encode("RIFF " + w.text), headers: w.headers, maxRetries: 0 }); };
const x = await run("1s"); check("transcribe uploads, creates and waits", x.text.length > 0 && x.segments.length > 0, x.text);
const e = await fails(run("500ms", "boom"), /./); check("a failing one raises", e !== null, e.name + ": " + e.message);
done();
