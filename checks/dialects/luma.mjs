// Luma Dream Machine: npm `lumaai`, unmodified. BASE_URL stands for https://api.lumalabs.ai. No waiter: the loop is that of its README.
import { base, check, done, fails, receiver, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { LumaAI } = require("lumaai");
const c = new LumaAI({ authToken: "luma-test", baseURL: `${base()}/dream-machine/v1`, maxRetries: 0 });
async function wait(g) {
  while (!["completed", "failed"].includes(g.state)) { await new Promise((end) => setTimeout(end, 300)); g = await c.generations.get(g.id); }
  return g;
}
const create = (w, more) => c.generations.create({ prompt: `a corgi ${w.text}`, model: "ray-2", ...more }, { headers: w.headers });
let g = await create(await directive("1s"));
check("create", ["queued", "dreaming"].includes(g.state), g.state);
g = await wait(g);
check("to the end", g.state === "completed" && g.assets.video, g.state);
g = await wait(await create(await directive("500ms", "moderated")));
check("a failing generation", g.state === "failed" && g.failure_reason, g.failure_reason);
const list = await c.generations.list({ limit: 2, offset: 0 });
check("list", list.generations.length === 2);
await c.generations.delete(g.id);
check("a deleted one is a 404", await fails(c.generations.get(g.id), /404/));
done();
