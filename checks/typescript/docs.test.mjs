// Type-checks and runs every `ts` block of the pages named in DOCS, against the server at SERVER_URL.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";
import { transform } from "esbuild";

const run = promisify(execFile);
const blocks = [];
for (const page of process.env.DOCS.split(" ")) {
  const text = await readFile(page, "utf8");
  for (const [block, code] of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const line = text.slice(0, text.indexOf(block)).split("\n").length;
    blocks.push({
      page,
      line,
      name: `${basename(page, ".md").toLowerCase()}-${line}`,
      code: code.replaceAll("http://127.0.0.1:8080", process.env.SERVER_URL),
    });
  }
}
assert.ok(blocks.length > 0);

before(async () => {
  await mkdir("blocks", { recursive: true });
  for (const { name, code } of blocks) {
    await writeFile(`blocks/${name}.ts`, `${code}\nexport {};\n`);
    await writeFile(
      `blocks/${name}.mjs`,
      (await transform(code, { loader: "ts", format: "esm", target: "es2022" })).code,
    );
  }
});

test("the blocks are sound", { timeout: 120_000 }, async () => {
  const options = [
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--target",
    "es2022",
    "--module",
    "nodenext",
    "--types",
    "node",
    "--typeRoots",
    process.env.TYPES,
  ];
  const files = blocks.map(({ name }) => `blocks/${name}.ts`);
  const { stdout } = await run(process.execPath, [process.env.TSC, ...options, ...files]).catch((error) => error);
  assert.equal(stdout, "");
});

describe("the blocks run", { concurrency: 4 }, () => {
  for (const { page, line, name } of blocks) {
    test(`${basename(page)}:${line}`, { timeout: 60_000 }, async () => {
      const { stdout } = await run(process.execPath, [`${name}.mjs`], { cwd: "blocks" });
      console.log(stdout.trim());
    });
  }
});
