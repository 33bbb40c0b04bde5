// sync.so (lip sync): npm `@sync.so/sdk`, unmodified. BASE_URL stands for https://api.sync.so. No waiter in the SDK.
import { base, check, done, fails, receiver, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { SyncClient } = require("@sync.so/sdk");
const c = new SyncClient({ apiKey: "k", baseUrl: base(), environment: base() });
const create = (w, headers = {}) => c.generations.create(
  { model: "lipsync-2", input: [{ type: "video", url: "https://example.com/v.mp4" }, { type: "audio", url: `https://example.com/a.wav?${w.text}` }] },
  { headers: { ...w.headers, ...headers }, maxRetries: 0 });
async function wait(g) {
  while (!["COMPLETED", "FAILED", "REJECTED"].includes(g.status)) { await new Promise((end) => setTimeout(end, 200)); g = await c.generations.get(g.id); }
  return g;
}
const g = await wait(await create(await directive("1s")));
check("to the end", g.status === "COMPLETED" && g.outputUrl, g.status);
check("a failing one", (await wait(await create(await directive("400ms", "boom")))).status === "FAILED");
check("an unknown id is a 404", await fails(c.generations.get("nothere", { maxRetries: 0 }), /404|NotFound|SyncError/));
done();
