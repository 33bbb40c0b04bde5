// Google long-running operations: npm `@google/genai`, unmodified: Veo, on Vertex and in the developer API. BASE_URL stands for
// https://aiplatform.googleapis.com and https://generativelanguage.googleapis.com. The SDK has no waiter: the loop is that of its README.
import { base, check, done, fails, directive, MODE } from "./_acceptance.mjs";
import { createRequire } from "node:module";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { GoogleGenAI } = require("@google/genai");
const sleep = (ms) => new Promise((end) => setTimeout(end, ms));
for (const [name, ai] of [
  ["Vertex", new GoogleGenAI({ vertexai: true, apiKey: "k", httpOptions: { baseUrl: base(), apiVersion: "v1beta1" } })],
  ["the developer API", new GoogleGenAI({ apiKey: "k", httpOptions: { baseUrl: base(), apiVersion: "v1beta" } })],
]) {
  const run = async (...a) => {
    const w = await directive(...a);
    let o = await ai.models.generateVideos({ model: "veo-3.1-generate-001", source: { prompt: "a corgi " + w.text }, config: { httpOptions: { headers: w.headers } } });
    while (!o.done) { await sleep(300); o = await ai.operations.getVideosOperation({ operation: o }); }
    return o;
  };
  let o = await run("1s"); check(`${name}: to the end`, o.response.generatedVideos[0].video.uri, o.response.generatedVideos[0].video.uri);
  o = await run("400ms", "boom"); check(`${name}: a failing one`, o.error && /boom/.test(o.error.message), o.error.message);
}
done();
