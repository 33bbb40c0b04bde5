// Azure long-running operations: npm `@azure-rest/core-client` and `@azure/core-lro`, unmodified, over the video translation and the
// document translation API, as their generated clients put them together. BASE_URL stands for https://NAME.cognitiveservices.azure.com
import { base, check, done, fails, directive } from "./_acceptance.mjs";
import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";
const require = createRequire(process.env.DIALECTS_NODE ?? process.cwd() + "/");
const { getClient } = require("@azure-rest/core-client");
const { createHttpPoller } = require("@azure/core-lro");
const client = getClient(base(), { key: "k" }, { allowInsecureConnection: true, credentials: { apiKeyHeaderName: "Ocp-Apim-Subscription-Key" }, retryOptions: { maxRetries: 0 } });
const raw = (r) => ({ flatResponse: r, rawResponse: { statusCode: Number(r.status), headers: r.headers, body: r.body } });
const poll = (first) => createHttpPoller({
  sendInitialRequest: async () => { const r = await first(); if (Number(r.status) >= 400) throw new Error(JSON.stringify(r.body)); return { ...raw(r), rawResponse: { ...raw(r).rawResponse, request: { method: r.request.method, url: r.request.url } } }; },
  sendPollRequest: async (url) => raw(await client.pathUnchecked(url).get({ allowInsecureConnection: true })),
}, { intervalInMs: 200 });
const translate = async (id, ...a) => {
  const w = await directive(...a);
  // A poller is a promise of its result, too: by itself it would be awaited to the end.
  return { poller: poll(() => client.path(`/videotranslation/translations/${id}`).put({ queryParameters: { "api-version": "2025-05-20" }, headers: { "Operation-Id": randomUUID(), ...w.headers },
    body: { displayName: "talk", input: { sourceLocale: "en-US", targetLocale: "es-ES", voiceKind: "PlatformVoice", videoFileUrl: "https://x.example/talk.mp4?" + w.text } } })) };
};
let { poller: p } = await translate(randomUUID(), "1s"); let r = await p.pollUntilDone();
check("a translation, by PUT", p.operationState.status === "succeeded", p.operationState.status);
check("its final GET", r.body.status === "Succeeded", r.body.status);
({ poller: p } = await translate(randomUUID(), "400ms", "boom"));
check("a failing one rejects", await fails(p.pollUntilDone(), /boom|failed/i), p.operationState?.status);
const w = await directive("1s");
p = poll(() => client.path("/translator/document/batches").post({ queryParameters: { "api-version": "2026-03-01" }, headers: w.headers,
  body: { inputs: [{ source: { sourceUrl: "https://x.example/src?" + w.text }, targets: [{ targetUrl: "https://x.example/dst", language: "es" }] }] } }));
r = await p.pollUntilDone();
check("document translation, by POST", p.operationState.status === "succeeded" && r.body.status === "Succeeded", r.body.status);
done();
