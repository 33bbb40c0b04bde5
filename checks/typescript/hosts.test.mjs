// The package in a Worker of Cloudflare's runtime and in a page of headless Chromium, against the server at SERVER_URL.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { build } from "esbuild";
import { Miniflare } from "miniflare";

const server = process.env.SERVER_URL;

const EXPECTED = {
  watched: "completed",
  held: "completed",
  ends: [true, true],
  polled: "completed",
  looks: true,
  learned: true,
  late: "string",
  aborted: true,
  push: 204,
};

/** A program of one file. */
const bundle = async (contents) => {
  const options = { bundle: true, format: "esm", target: "es2022", write: false, logLevel: "error" };
  const { outputFiles } = await build({ ...options, stdin: { contents, resolveDir: import.meta.dirname } });
  return outputFiles[0].text;
};

test("a Worker waits in every way", { timeout: 60_000 }, async () => {
  const script = await bundle(`
    import { run } from "./host.mjs";
    export default { fetch: async () => Response.json(await run(${JSON.stringify(server)})) };`);
  const workers = new Miniflare({ modules: true, script, compatibilityDate: "2026-01-01" });
  try {
    const answer = await workers.dispatchFetch("http://worker.test/");
    assert.deepEqual(await answer.json(), EXPECTED);
  } finally {
    await workers.dispose();
  }
});

test("a page waits in every way, on another origin", { timeout: 60_000 }, async () => {
  const script = await bundle(`
    import { run } from "./host.mjs";
    const told = await run(${JSON.stringify(server)}).catch((error) => ({ error: String(error), stack: error.stack }));
    await fetch("/told", { method: "POST", body: JSON.stringify(told) });`);
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const pages = createServer(async (request, response) => {
    if (request.method === "POST") {
      let text = "";
      for await (const part of request) text += part;
      tell(JSON.parse(text));
      response.end();
    } else if (request.url === "/page.mjs") {
      response.writeHead(200, { "content-type": "text/javascript" }).end(script);
    } else {
      response.writeHead(200, { "content-type": "text/html" }).end('<script type="module" src="/page.mjs"></script>');
    }
  }).listen(0, "127.0.0.1");
  await new Promise((listening) => pages.once("listening", listening));
  const profile = await mkdtemp(join(tmpdir(), "abide-page-"));
  const options = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-proxy-server",
    `--user-data-dir=${profile}`,
  ];
  const browser = spawn("chromium", [...options, `http://127.0.0.1:${pages.address().port}/`], { stdio: "ignore" });
  const over = new Promise((resolve) => browser.once("exit", resolve));
  try {
    assert.deepEqual(await told, EXPECTED);
  } finally {
    browser.kill();
    await over;
    pages.closeAllConnections();
    pages.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});
