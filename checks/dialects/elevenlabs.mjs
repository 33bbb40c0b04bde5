// ElevenLabs: npm `@elevenlabs/elevenlabs-js`, unmodified. BASE_URL stands for https://api.elevenlabs.io
import { base, check, done, fails, receiver, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { ElevenLabsClient } = require("@elevenlabs/elevenlabs-js");
const c = new ElevenLabsClient({ apiKey: "sk_test", baseUrl: base() });
const once = (w) => ({ headers: w.headers, maxRetries: 0 });
const model = { modelId: "veo-3.1-generate-001" };

let w = await directive("1s");
let g = await c.flows.video.createAndWait({ ...model, prompt: `a corgi ${w.text}` }, once(w));
check("flows.video.createAndWait()", g.status === "completed" && g.contentUrl, g.status);
w = await directive("400ms", "moderated");
g = await c.flows.video.createAndWait({ ...model, prompt: w.text }, once(w));
check("a failing one is returned", g.status === "failed" && g.errorMessage, g.errorMessage);
w = await directive("1h");
g = await c.flows.video.create({ ...model, prompt: w.text }, once(w));
check("create", ["pending", "generating"].includes(g.status), g.status);
check("read", (await c.flows.video.get(g.id)).id === g.id);
check("an unknown id is a 404", await fails(c.flows.video.get("nothere", { maxRetries: 0 }), /404|NotFound/));
done();
