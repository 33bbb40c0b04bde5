// What a user's suite looks like: abide-client/testing in Vitest.
import { Abide } from "abide-client";
import { startAbide } from "abide-client/testing";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";

let server;
beforeAll(async () => {
  server = await startAbide({ clock: "manual", seed: 7 });
});
beforeEach(() => server.reset());
afterAll(() => server.stop());

const play = async () => {
  const job = await new Abide(server.url).create("render");
  const waiting = job.wait();
  await server.advance("1h");
  const { job: ended } = await waiting;
  return Date.parse(ended.finished_at) - Date.parse(ended.created_at);
};

let first;
test("an hour passes in no time", async () => {
  await server.simulate({ duration: "uniform:10m:1h", outcome: { error_chance: 0 } });
  first = await play();
  expect(first).toBeGreaterThan(600_000);
});

test("each test is alone in the world", async () => {
  const { jobs } = await (await fetch(`${server.url}/v1/jobs`)).json();
  expect(jobs.filter(({ kind }) => kind === "render")).toEqual([]);
  await server.simulate({ duration: "uniform:10m:1h", outcome: { error_chance: 0 } });
  expect(await play()).toBe(first);
});
