import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { features, learned, localStorageStore, openHistory } from "../dist/index.js";
import type { History } from "../dist/index.js";
import { fileStore } from "../dist/node.js";
import { priorOf } from "../dist/schedule/learned/experts.js";
import { quantile } from "../dist/schedule/learned/forecast.js";
import { Kind, noMemory } from "../dist/schedule/learned/kind.js";
import type { Traits } from "../dist/schedule/learned/kind.js";
import { Model } from "../dist/schedule/learned/model.js";
import { compact, fileName, linesOf, readKind, readLines, written } from "../dist/schedule/learned/record.js";

const NOW = 1_700_000_000;
let count = 0;

const learn = (history: History, kind: string, ...seconds: number[]): void => {
  for (const t of seconds) {
    const random = (count++ % 10_007) / 10_007;
    learned(kind, { history }).begin({ random: () => random, began: NOW * 1000 + count * 1000 }).finish!({
      after: t * 1000,
      atMost: t * 1000,
    });
  }
};

const inDirectory = async (work: (directory: string) => Promise<void>): Promise<void> => {
  const directory = await mkdtemp(join(tmpdir(), "abide-"));
  try {
    await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
};

test("the form is that of the Rust client, byte for byte", () => {
  const kind = Kind.ofDurations(15);
  kind.observe({ second: 7, job: 1, random: 0 }, 20, 20);
  kind.observe({ second: 8, job: 2, random: 0 }, 18.5, 20.25, { size: 30 });
  kind.observe({ second: 9, job: 3, random: 0 }, 60, Infinity, { size: 60 });
  const weights = kind.model.weights.map((_, e) => (e ? 1 / 16 : 3 / 16));
  const same = new Kind(new Model(priorOf(15, 1), undefined, kind.model.past.ended, weights), {
    ...noMemory(),
    reference: 30,
  });
  same.version = 1;
  same.unsaved = [...kind.model.past.ended];
  const golden =
    "\n" +
    '{"version":2,"kind":"translate","saved_at":1700000000,"prior":{"median":15.0,"scale":1.0},' +
    '"reference":30.0,"ln_price":-0.693,"pushes":[0.0,0.0],"silent":1.0,"advantage":0.0,' +
    '"weights":[0.1875,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,' +
    "0.0625,0.0625]}\n" +
    "[7,1,20.0,20.0,0.0]\n[8,2,18.5,20.25,0.0]\n[9,3,60.0,null,0.693]\n";
  assert.equal(linesOf(same, "translate", NOW), golden);
  assert.equal(written(readLines(golden)!), golden);
  const [name, read] = readKind(golden, NOW)!;
  assert.equal(name, "translate");
  assert.deepEqual(
    read.model.past.ended.map((seen) => seen.atMost),
    [20, 20.25, Infinity],
  );
});

test("what features make of durations is kept too, and by those who know of none", () => {
  const kind = Kind.ofDurations(15),
    traits = (i: number): Traits => ({ features: features({ model: ["a", "b"][i % 2]!, n: 7 }) });
  let text = "";
  for (let i = 0; i < 256; i++) {
    const took = [5, 50][i % 2]!;
    kind.observe({ second: i, job: i, random: 0 }, took, took, traits(i));
    text += linesOf(kind, "k", NOW);
    kind.saved = kind.version;
    kind.unsaved = [];
  }
  const short = compact(text),
    others = readLines(short)!.others!;
  assert.equal(compact(short), short);
  assert.equal(
    others.filter((line) => /^\[\d+(,-?[\d.e-]+){3}\]$/.test(line)).length,
    4,
    "an effect for each value and all",
  );
  assert.ok(others.length > 64 && others.length <= 128, String(others.length));
  const [, again] = readKind(short, NOW)!;
  // A kind that is saved without a job that has features keeps its noise.
  again.observe({ second: 300, job: 300, random: 0 }, 20, 20);
  assert.match(linesOf(again, "k", NOW)!, /"noise":[\d.e-]+}/);
  for (let i = 0; i < 2; i++) {
    const [before, after] = [kind, readKind(short, NOW)![1]].map((kind) => quantile(kind.law(traits(i)), 0.5, 0));
    assert.ok(Math.abs(before! / [5, 50][i]! - 1) < 0.05, String(before));
    assert.ok(Math.abs(after! / before! - 1) < 0.02, `${before} ${after}`);
  }
});

test("of an old history the newer half is kept", () => {
  const kind = Kind.ofDurations(15);
  for (let i = 0; i < 10; i++) kind.observe({ second: i, job: i, random: 0 }, 20 + i, 20 + i);
  const text = linesOf(kind, "k", NOW)!;
  assert.equal(readKind(text, NOW + 604_800)![1].model.past.ended.length, 10);
  assert.equal(readKind(text, NOW + 604_801)![1].model.past.ended.length, 5);
});

test("what is not a line is ignored", () => {
  const kind = Kind.ofDurations(15);
  kind.observe({ second: 1, job: 1, random: 0 }, 1, 13.346);
  const good = linesOf(kind, "k", NOW)!;
  for (const [from, to] of [
    ['"version":2', '"version":3'],
    ['"median":15.0', '"median":-15.0'],
    ['"weights":[0.', '"weights":[7.'],
    ['"ln_price":', '"ln_price":1'],
  ] as const) {
    const bad = good.replace(from, to);
    assert.notEqual(bad, good);
    assert.equal(readLines(bad), undefined, to);
  }
  for (const to of [",1.0,0.5,", ",-1.0,13.346,", ',"1",13.346,']) {
    const bad = good.replace(",1.0,13.346,", to);
    assert.notEqual(bad, good);
    assert.equal(readLines(bad)!.jobs.length, 0, to);
  }
  for (const text of ["", "\u0000", "null", "[]", "{}"]) assert.equal(readLines(text), undefined);
  assert.equal(readLines(`${good}${good.slice(0, -5)}`)!.jobs.length, 1);
});

test("file names are those of the Rust client", () => {
  assert.equal(fileName("translate"), "translate.jsonl");
  assert.equal(fileName("http://a Ä"), "http%3a%2f%2fa%20%c3%84.jsonl");
  const long = fileName("日本語".repeat(40));
  assert.equal(long.length, 200);
  assert.match(long, /~[0-9a-f]{16}\.jsonl$/);
});

test("what was saved in files is there again, also for those who save side by side", () =>
  inDirectory(async (directory) => {
    const store = fileStore(join(directory, "not/yet/there"));
    const history = await openHistory(store);
    learn(history, "translate", 20, 30);
    learn(history, "POST https://example.com/v1/jobs?type=Ä", 5);
    assert.equal(await history.save(), 2);
    assert.equal(await history.save(), 0);
    const [one, other] = await Promise.all([openHistory(store), openHistory(store)]);
    learn(one, "translate", 25);
    learn(other, "translate", 26, 27);
    await Promise.all([one.save(), other.save()]);
    const again = await openHistory(store);
    assert.equal(again.jobs("translate"), 5);
    assert.equal(again.jobs("POST https://example.com/v1/jobs?type=Ä"), 1);
    assert.equal(again.jobs("nothing"), 0);
  }));

test("a long log is made short and loses nothing that counts", () =>
  inDirectory(async (directory) => {
    const history = await openHistory(fileStore(directory));
    let longest = 0;
    for (let i = 0; i < 300; i++) {
      learn(history, "k", 10 + (i % 20));
      await history.save();
      longest = Math.max(longest, (await readFile(join(directory, "k.jsonl"))).length);
    }
    assert.ok(longest < 96 * 1024 && longest > 40 * 1024, String(longest));
    assert.equal((await openHistory(fileStore(directory))).jobs("k"), history.jobs("k"));
    assert.deepEqual(await readdir(directory), ["k.jsonl"]);
  }));

test("damaged and foreign files are ignored, and what nobody learned of for long is deleted", () =>
  inDirectory(async (directory) => {
    const history = await openHistory(fileStore(directory));
    learn(history, "good", 20);
    await history.save();
    const good = await readFile(join(directory, "good.jsonl"), "utf8");
    await writeFile(join(directory, "cut.jsonl"), good.slice(0, 40));
    await writeFile(join(directory, "README"), "hello");
    await writeFile(join(directory, "old.jsonl"), good);
    await utimes(join(directory, "old.jsonl"), 1, 1);
    assert.equal((await openHistory(fileStore(directory))).jobs("good"), 1);
    assert.deepEqual((await readdir(directory)).sort(), ["README", "cut.jsonl", "good.jsonl"]);
  }));

test("a failure to save is told and tried again", () =>
  inDirectory(async (directory) => {
    const blocked = join(directory, "a file");
    await writeFile(blocked, "");
    const history = await openHistory(fileStore(blocked));
    learn(history, "translate", 20);
    await assert.rejects(history.save());
    await rm(blocked);
    assert.equal(await history.save(), 1);
  }));

test("a browser's storage keeps a history", async () => {
  const items: Record<string, string> = {};
  const methods = {
    getItem: (key: string) => items[key] ?? null,
    setItem: (key: string, text: string) => {
      items[key] = text;
    },
  };
  const storage = new Proxy(items, { get: (_, name: string) => methods[name as "getItem"] }) as unknown as Storage;
  const store = localStorageStore(storage);
  const history = await openHistory(store);
  learn(history, "k", 20, 21);
  await history.save();
  items.other = "text";
  assert.equal((await openHistory(store)).jobs("k"), 2);
  assert.equal(compact(items["abide:k.jsonl"]!), items["abide:k.jsonl"]);
});
