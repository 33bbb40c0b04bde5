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
 * A little above what is reached, so that growth is noticed. Half of `pollUntil` is the learned schedule: fourteen experts,
 * an exact planner and jitter that costs nothing; the other half bounds everything by one deadline, retries, budgets and
 * recognizes. Shorter names of members, which a bundler can't choose, would save 5 %.
 */
const LIMITS: [what: string, kilobytes: number, contents: string][] = [
  [
    "the learned mathematics",
    4.4,
    `
    export { Model } from "./schedule/learned/model.js";
    export { Plan } from "./schedule/learned/plan.js";
    export { priorOf } from "./schedule/learned/experts.js";`,
  ],
  ["pollUntil", 13.9, `export { pollUntil } from "./index.js";`],
  ["everything but the tests' server", 33, `export * from "./index.js";`],
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
