// Leonardo: npm `@leonardo-ai/sdk`, unmodified. BASE_URL stands for https://cloud.leonardo.ai. No waiter: the loop is that of its guide.
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { Leonardo } = require("@leonardo-ai/sdk");
const w = await directive("1s");
const c = new Leonardo({ bearerAuth: "test", serverURL: `${base()}/api/rest/v1` });
const sleep = (ms) => new Promise((end) => setTimeout(end, ms));
const create = async (w) => (await c.image.createGeneration({ prompt: `a corgi ${w.text}`, width: 512, height: 512 }, { fetchOptions: { headers: w.headers } })).object.sdGenerationJob.generationId;
const read = async (id) => (await c.image.getGenerationById(id)).object.generationsByPk;
async function wait(id) { let g; while ((g = await read(id)).status === "PENDING") await sleep(300); return g; }
let g = await wait(await create(w));
check("to the end", g.status === "COMPLETE" && g.generatedImages[0].url, g.generatedImages[0].url);
g = await wait(await create(await directive("400ms", "boom")));
check("a failing one", g.status === "FAILED", g.status);
await c.image.deleteGenerationById(g.id);
check("a deleted one is null", (await read(g.id)) === null);
done();
