/** What every language's client must do, as data: the vectors that the Rust client has written. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { History, backoff, countdown, features, fixed, learned } from "../dist/index.js";
import type { Schedule } from "../dist/index.js";
import { Verifier } from "../dist/webhooks.js";
import type { Looked } from "../dist/target/closure.js";
import { ENDED, RUNNING, recognize } from "../dist/wait/recognize.js";

const read = async (name: string): Promise<any> =>
  JSON.parse(await readFile(new URL(`../../../vectors/${name}.json`, import.meta.url), "utf8"));

/** Within a millionth, the precision of the vectors, of which the rounding here has its part. */
const near = (actual: number, expected: number, what: string): void =>
  assert.ok(Math.abs(actual - expected) <= 2e-6 * Math.max(1, expected), `${what}: ${actual} is not ${expected}`);

const ms = (seconds: number | null): number | undefined => (seconds === null ? undefined : seconds * 1000);

for (const { features: told, name, past, polls, quantiles, rates, rtt, schedule, size } of (await read("learned"))
  .cases) {
  test(`learned: ${name}`, () => {
    const { expect, jitter, max, min, price } = schedule;
    const options = {
      history: new History(),
      jitter,
      price: price * 1000,
      ...(expect !== null && { expectAbout: expect * 1000 }),
      ...(max !== null && { max: max * 1000 }),
      ...(min !== null && { min: min * 1000 }),
    };
    const kind = learned("kind", options),
      random = (): number => 0.5,
      known = told && features(told);
    for (const { after, at_most, duration, features: told, polls, size } of past) {
      const ended = { after: after * 1000, atMost: ms(at_most), duration: ms(duration), polls };
      kind.begin({ random, size: size ?? undefined, features: told && features(told) }).finish!(ended);
    }
    const preview = kind.preview({ random, size: size ?? undefined, features: known }, rtt * 1000);
    for (const poll of polls) near((preview.next().value as number) / 1000, poll, "poll");
    const cursor = kind.begin({ random, size: size ?? undefined, features: known });
    for (const { at, elapsed, probability } of quantiles) {
      near(
        cursor.quantile!(probability, { elapsed: elapsed * 1000, rtt: 100, polls: 0 })! / 1000,
        at,
        `${probability} at ${elapsed}`,
      );
    }
    for (const { elapsed, rate } of rates)
      near(cursor.hazard!({ elapsed: elapsed * 1000, rtt: 100, polls: 0 })!, rate, `rate at ${elapsed}`);
  });
}

for (const { name, polls, rtt, schedule } of (await read("schedules")).cases) {
  test(`schedule: ${name}`, () => {
    const { attempts, factor, first } = schedule,
      pauses = { ...(attempts && { attempts }), ...(first !== undefined && { first: first * 1000 }) };
    const made: Schedule = schedule.fixed
      ? fixed(schedule.fixed * 1000, pauses)
      : schedule.backoff
        ? backoff(schedule.backoff * 1000, { ...pauses, factor, max: schedule.max * 1000 })
        : countdown(schedule.countdown.map(([polls, pause]: [number, number]) => [polls, pause * 1000]));
    const cursor = made.begin({ random: () => 0.5 });
    let elapsed = (rtt / 2) * 1000;
    polls.forEach((poll: number, polls: number) => {
      const at = cursor.next({ elapsed, rtt: rtt * 1000, polls })!;
      near(at / 1000, poll, "poll");
      elapsed = at + rtt * 1000;
    });
  });
}

test("the words of vendors are the same everywhere", async () => {
  const { cases, ended, running } = await read("recognize");
  assert.deepEqual(ENDED.split(" "), ended);
  assert.deepEqual(RUNNING.split(" "), running);
  for (const { done, value, ...told } of cases) {
    const warnings: string[] = [];
    const found = (): Looked => recognize(value, (warning) => warnings.push(warning));
    if (done === null) assert.throws(found, JSON.stringify(value));
    else assert.equal(found().done, done, JSON.stringify(value));
    if ("progress" in told) assert.equal(found().progress, told.progress ?? undefined, JSON.stringify(value));
    if ("remaining" in told) assert.equal(found().remaining, ms(told.remaining), JSON.stringify(value));
    if ("took" in told) assert.equal(found().took, ms(told.took), JSON.stringify(value));
    assert.deepEqual(warnings, []);
  }
});

for (const { believed, body, id, name, now, secrets, signature, timestamp } of (await read("webhooks")).cases) {
  test(`webhook: ${name}`, async () => {
    const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
    const verified = await new Verifier(secrets).verify(headers, body, now).then(
      () => true,
      () => false,
    );
    assert.equal(verified, believed);
  });
}
