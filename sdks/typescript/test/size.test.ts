import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** How many bytes an import adds to a page: bundled, minified, compressed. */
const bytes = async (contents: string): Promise<number> => {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: new URL("../dist", import.meta.url).pathname },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "error",
  });
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
};

/**
 * What is reached, rounded up, so that growth is noticed. With every name of a member shortened, which a bundler can't
 * do and which would break callers, `pollUntil` would still be about 13 KB, and the learned schedule in it about 8.
 */
const LIMITS: [what: string, kilobytes: number, contents: string][] = [
  [
    "the learned mathematics",
    5.1,
    `
    export { Model } from "./schedule/learned/model.js";
    export { Plan } from "./schedule/learned/plan.js";
    export { priorOf } from "./schedule/learned/experts.js";`,
  ],
  ["pollUntil", 14.7, `export { pollUntil } from "./index.js";`],
  ["the learned schedule", 9, `export { learned } from "./index.js";`],
  ["Abide", 27.6, `export { Abide } from "./index.js";`],
  ["everything but the tests' server", 34.6, `export * from "./index.js";`],
];

for (const [what, kilobytes, contents] of LIMITS) {
  test(`${what} is at most ${kilobytes} KB`, async () => {
    const size = await bytes(contents);
    assert.ok(size <= kilobytes * 1024, `${size} bytes`);
  });
}

test("an import that uses nothing adds nothing", async () => {
  assert.ok((await bytes(`import "./index.js";`)) < 100);
});
