// Runway: npm `@runwayml/sdk`, unmodified. BASE_URL stands for https://api.dev.runwayml.com. Its waiter sleeps 4.5 to 7.5 s first.
import { base, check, done, fails, receiver, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { RunwayML, TaskFailedError } = require("@runwayml/sdk");
const c = new RunwayML({ apiKey: "key_test", baseURL: base(), maxRetries: 0 });
const create = (w) => c.imageToVideo.create({ model: "gen4_turbo", promptImage: "https://example.com/i.png", promptText: `a corgi ${w.text}`, ratio: "1280:720", duration: 5 }, { headers: w.headers });

const [one, two] = [await create(await directive("1s")), await create(await directive("1s", "boom"))];
check("create", one.id);
const [out, failed] = await Promise.all([one.id, two.id].map((id) => c.tasks.retrieve(id).waitForTaskOutput().catch((e) => e)));
check("waitForTaskOutput()", out.status === "SUCCEEDED" && out.output.length === 1, out.status);
check("a failing task is TaskFailedError", failed instanceof TaskFailedError, failed.taskDetails?.failureCode);
const slow = await create(await directive("1h"));
await c.tasks.delete(slow.id);
check("cancel (DELETE)", (await c.tasks.retrieve(slow.id)).status === "CANCELLED");
await c.tasks.delete(slow.id);
check("a deleted one is a 404", await fails(c.tasks.retrieve(slow.id), /404/));
done();
