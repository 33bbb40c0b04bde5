import assert from "node:assert/strict";
import { test } from "node:test";
import { History, learned } from "../dist/index.js";
import type { Ended, Seen, Start } from "../dist/index.js";
import { fit, mix, priorOf } from "../dist/schedule/learned/experts.js";
import { endedBy, hazard, quantile } from "../dist/schedule/learned/forecast.js";
import { BINS, EDGES, bin, lawOf, lnMiddle, shift, student, sum } from "../dist/schedule/learned/grid.js";
import { Model } from "../dist/schedule/learned/model.js";
import { Plan } from "../dist/schedule/learned/plan.js";
import { solve } from "../dist/schedule/learned/planner.js";
import { spanOf } from "../dist/schedule/learned/ring.js";
import { World } from "./world.js";

const KNOWN = [18, 22, 19, 25, 21];
const PURE = { price: 0.5, gap: 0.25, loss: 1 };

/** The first eight polls at the balanced price, in seconds: those of crates/client/src/schedule/learned/model.rs. */
const GOLDEN: [string, [number, number][], number[]][] = [
  ["nothing", [], [5.405, 9.849, 14.117, 18.493, 23.044, 27.866, 33.03, 38.761]],
  ["durations", KNOWN.map((t) => [t, t]), [16.902, 20.034, 22.363, 24.469, 26.507, 28.715, 31.106, 33.697]],
  ["enclosures", KNOWN.map((t) => [t - 2, t + 1]), [16.734, 19.637, 21.92, 23.985, 25.982, 28.146, 30.49, 33.03]],
  [
    "a wait that was given up",
    [...KNOWN.map((t): [number, number] => [t, t]), [60, Infinity]],
    [11.558, 18.493, 21.92, 25.214, 28.715, 33.03, 38.761, 45.944],
  ],
];

const near = (actual: number, expected: number, by: number): void =>
  assert.ok(Math.abs(actual - expected) <= by, `${actual} is not ${expected}`);

const modelOf = (seen: Iterable<[number, number]>): Model => {
  const model = new Model(priorOf(15, 1));
  let random = 0;
  for (const [after, atMost] of seen) model.observe({ random: random++ }, after, atMost, 0);
  return model;
};

for (const [name, seen, polls] of GOLDEN) {
  test(`the golden vector of ${name} holds`, () => {
    const path = new Plan(modelOf(seen).predict()[0], [], PURE).path(0, Infinity);
    path.forEach((poll, i) => near(poll.at, polls[i]!, 6e-4));
  });
}

test("the grid spans a tenth of a second to five days, and a shift loses no mass", () => {
  assert.equal(EDGES[0], 0.1);
  assert.ok(EDGES[BINS]! > 5 * 86_400);
  assert.equal(bin(-Infinity), 0);
  assert.equal(bin(Infinity), BINS - 1);
  assert.equal(bin(lnMiddle(700)), 700);
  const law = student(3, Math.log(15), 1);
  for (const bins of [0, 1.5, -700.25, 1e9, -1e9]) near(sum(shift(law, bins)), 1, 1e-12);
});

test("an enclosure by polls on edges covers the bins between", () => {
  for (const [i, j] of [
    [1, 2],
    [500, 501],
    [500, 520],
    [1000, 1118],
  ] as const) {
    for (const nudge of [-1e-9, 0, 1e-9]) {
      const [after, atMost] = [Math.fround(EDGES[i]! + nudge), Math.fround(EDGES[j]! + nudge)];
      assert.deepEqual(spanOf({ second: 0, key: 0, after, atMost, lnSize: 0 }, 1), [i, j - 1]);
    }
  }
});

test("a law stays a law whatever was seen", () => {
  const absurd: [number, number][] = [
    [0, Infinity],
    [0, 1e-9],
    [1e9, 1e9],
    [1e9, Infinity],
    [0, 0],
    [7200, 1e300],
  ];
  const model = modelOf(Array.from({ length: 300 }, (_, i) => absurd[i % 6]!));
  const [law, , slope] = model.predict();
  near(sum(law), 1, 1e-9);
  assert.ok(law.every((mass) => mass > 0) && Number.isFinite(slope));
  assert.equal(model.past.ended.length, 128);
});

test("after a jump the next job is expected where the latest were", () => {
  const same = (t: number): [number, number] => [t, t];
  const steady = Array.from({ length: 100 }, (_, i) => same(20 + (i % 7)));
  const [law] = modelOf([...steady, ...Array.from({ length: 20 }, () => same(200))]).predict();
  near(quantile(law, 0.5, 0), 200, 50);
});

test("the exponent of the size is learned", () => {
  for (const truth of [0, 0.5, 1]) {
    const model = new Model(priorOf(15, 1));
    for (let i = 0; i < 100; i++) {
      const size = 1 + (i % 10),
        t = 10 * size ** truth;
      model.observe({ random: i }, t, t, Math.log(size));
    }
    near(model.predict()[2], truth, 0.05);
  }
});

test("no schedule on the grid is better from any state", () => {
  const world = new World();
  for (let round = 0; round < 6; round++) {
    const width = 160,
      peaks = Array.from({ length: 5 }, () => Math.floor(world.random() * width));
    const terms = {
      price: 0.01 + 5 * world.random(),
      gap: 0.01 + 2 * world.random(),
      loss: [1, 0.3, 0.05][round % 3]!,
    };
    const instants = [0],
      ended = [0],
      mean = [0];
    for (let i = 0; i < width; i++) {
      const mass = (peaks.includes(i) ? 0.1 : 0) + 0.5 / width,
        from = instants[i]!,
        to = Math.exp(0.03 * (i + 1)) / 3;
      instants.push(to);
      ended.push(ended[i]! + mass);
      mean.push(mean[i]! + mass * 0.5 * (from + to));
    }
    const leg = (i: number, j: number): number => {
      const missed = terms.loss * (ended[j]! - ended[i]!);
      return (
        terms.price * (ended[width]! - ended[j]! + missed) + instants[j]! * missed - terms.loss * (mean[j]! - mean[i]!)
      );
    };
    const values = new Array<number>(width + 1).fill(0),
      next = solve({ instants, ended, mean }, terms);
    for (let i = width - 1; i >= 0; i--) {
      values[i] = Infinity;
      for (let j = i + 1; j <= width; j++) {
        if (j === width || instants[j]! >= instants[i]! + terms.gap)
          values[i] = Math.min(values[i]!, leg(i, j) + values[j]!);
      }
      near(leg(i, next[i]!) + values[next[i]!]!, values[i]!, 1e-9 * Math.max(values[i]!, 1));
    }
  }
});

test("a duration known exactly is one poll at its end, which jitter has no room to move", () => {
  const plan = new Plan(
      lawOf((i) => (i === 530 ? 1 : 0)),
      [],
      PURE,
    ),
    [first] = plan.path(0, Infinity);
  assert.equal(plan.after(0), EDGES[531]);
  assert.ok(first!.earlier < 0.1 && first!.later < 1);
});

test("quantiles invert the distribution, and the ends of the axis are no cliffs", () => {
  const law = student(3, Math.log(15), 1);
  for (const probability of [0.01, 0.1, 0.5, 0.9, 0.99])
    near(endedBy(law, quantile(law, probability, 0)), probability, 1e-9);
  assert.equal(endedBy(law, 0), 0);
  assert.equal(quantile(law, 0.5, 1e9), 1e9);
  assert.equal(hazard(law, 1e9), 0);
  assert.ok(hazard(law, 10) > hazard(law, 1000));
});

test("enclosures by one late poll come to an end", () => {
  const seen = Array.from({ length: 20 }, () => ({ span: [300, 600] as const, ended: true }));
  const prior = priorOf(15, 1);
  let before = fit(prior, { seen, durations: [], exact: false });
  for (let round = 0; round < 5; round++) before = fit(prior, { seen, durations: [], exact: false }, before);
  near(
    sum(
      mix(
        before,
        before.map(() => 1 / before.length),
      ),
    ),
    1,
    1e-9,
  );
});

const start = (over: Partial<Start> = {}): Start => ({ random: () => 0.5, ...over });
const running = (at: number, over: Partial<Seen> = {}): Seen => ({ elapsed: at * 1000, rtt: 0, polls: 1, ...over });
const begun = (over: Partial<Seen> = {}): Seen => ({ elapsed: 0, rtt: 0, polls: 0, ...over });
const at = (t: number): Ended => ({ after: t * 1000, atMost: t * 1000, duration: t * 1000 });

test("the whole way through the schedule gives the golden vectors", () => {
  const schedule = learned("k", { jitter: 0 });
  const check = (golden: number[]): void => {
    const polls = schedule.preview(start(), 0);
    for (const poll of golden) near((polls.next().value as number) / 1000, poll, 6e-4);
  };
  check(GOLDEN[0]![2]);
  for (const t of KNOWN) schedule.begin(start({ random: new World().random })).finish!(at(t));
  check(GOLDEN[1]![2]);
  schedule.begin(start()).finish!({ after: 60_000 });
  check(GOLDEN[3]![2]);
});

test("jitter keeps the order and three quarters of every pause", () => {
  const take = (schedule: ReturnType<typeof learned>, random: () => number): number[] => {
    const polls: number[] = [];
    for (const poll of schedule.preview(start({ random }), 0)) if (polls.push(poll) === 20) break;
    return polls;
  };
  const plain = take(learned("k", { jitter: 0 }), () => 0.5),
    world = new World();
  for (let seed = 0; seed < 100; seed++) {
    const share = world.random(),
      polls = take(learned("k"), () => share);
    for (let i = 1; i < 19; i++) {
      const planned = Math.min(plain[i]! - plain[i - 1]!, plain[i + 1]! - plain[i]!);
      assert.ok(polls[i]! - polls[i - 1]! > 0.7 * planned);
      assert.ok(Math.abs(polls[i]! - plain[i]!) <= 0.25 * planned + 1e-6);
    }
  }
});

test("a poll is sent half a round trip before its moment, and a late wait looks at once", () => {
  near(
    learned("k", { jitter: 0 })
      .begin(start())
      .next(begun({ rtt: 200 }))!,
    5305,
    1,
  );
  assert.equal(
    learned("k")
      .begin(start())
      .next(begun({ elapsed: 500_000 })),
    500_000,
  );
});

test("a floor is planned around and forgotten", () => {
  const cursor = learned("k", { jitter: 0 }).begin(start());
  cursor.next(begun());
  assert.ok(cursor.next(running(5.405, { notBefore: 25_405 }))! >= 25_405);
  const next = cursor.next(running(26))!;
  assert.ok(next > 29_000 && next < 33_000, String(next));
});

test("what one wait learns changes the plan of another on its way", () => {
  const schedule = learned("k", { jitter: 0 }),
    cursor = schedule.begin(start());
  cursor.next(begun());
  for (let i = 0; i < 10; i++) schedule.begin(start({ random: () => i / 11 })).finish!(at(100));
  const next = cursor.next(running(5.405))!;
  assert.ok(next > 30_000 && next < 101_000, String(next));
});

test("a wait that was given up counts once it knew something, and no wait counts twice", () => {
  const history = new History(),
    schedule = learned("k", { history });
  schedule.begin(start()).finish!({ after: 0 });
  assert.equal(history.jobs("k"), 0);
  const cursor = schedule.begin(start());
  cursor.next(running(9));
  cursor.finish!({ after: 9000 });
  cursor.finish!({ after: 9000 });
  assert.equal(history.jobs("k"), 1);
});

test("several waits for one job are one observation", () => {
  const history = new History(),
    schedule = learned("k", { history });
  for (const after of [1000, 2000, 5000]) schedule.begin(start({ job: "job_1", began: 7000 })).finish!({ after });
  assert.equal(history.jobs("k"), 1);
});

test("sizes scale the plan", () => {
  const schedule = learned("k", { jitter: 0 });
  for (let i = 0; i < 60; i++) {
    const size = 10 + ((i * 37) % 60);
    schedule.begin(start({ size, random: () => i / 61 })).finish!(at(2 * size));
  }
  const first = (size: number): number => schedule.begin(start({ size })).next(begun())! / 1000;
  const small = first(15),
    big = first(60);
  assert.ok(small > 20 && small < 31, String(small));
  assert.ok(big / small > 2 && big / small < 4.1, String(big));
});

test("an estimate is a law and not an appointment, and one that misleads is soon ignored", () => {
  const schedule = learned("k", { jitter: 0 }),
    cursor = schedule.begin(start());
  const first = cursor.next(begun({ remaining: { p50: 100_000 } }))! / 1000;
  assert.ok(first > 30 && first < 95, String(first));
  const lie = (i: number): [ReturnType<typeof schedule.begin>, number] => {
    const cursor = schedule.begin(start({ random: () => i / 20 }));
    return [cursor, cursor.next(begun({ rtt: 100, remaining: { p50: i % 2 ? 1000 : 3_000_000 } }))! / 1000];
  };
  for (let i = 0; i < 8; i++) lie(i)[0].finish!(at(20));
  for (let i = 8; i < 10; i++) {
    const [, first] = lie(i);
    assert.ok(first > 15 && first < 21, String(first));
  }
});

test("progress is an estimate too", () => {
  const cursor = learned("k", { jitter: 0 }).begin(start());
  cursor.next(begun());
  const next = cursor.next(running(10, { progress: 0.1 }))! / 1000;
  assert.ok(next > 40 && next < 95, String(next));
});

test("a budget is kept by the price", () => {
  const schedule = learned("k", { budget: 3, jitter: 0 }),
    spent: number[] = [];
  for (let i = 0; i < 200; i++) {
    const t = 10 + 20 * ((i * 0.618034) % 1),
      cursor = schedule.begin(start({ random: () => i / 201 })),
      seen = begun();
    for (;;) {
      const next = cursor.next(seen)!;
      seen.polls++;
      if (next / 1000 >= t) {
        cursor.finish!({ after: seen.elapsed, atMost: next, duration: t * 1000, polls: seen.polls });
        break;
      }
      seen.elapsed = next;
    }
    spent.push(seen.polls);
  }
  near(sum(spent.slice(50)) / 150, 3, 0.3);
});

test("pushes that come make polls rare and lost ones bring them back", () => {
  const schedule = learned("k", { jitter: 0 });
  let jobs = 0;
  const first = (push: Start["push"]): number =>
    (schedule.preview(start({ push: push! }), 100).next().value as number) / 1000;
  const end = (pushed: boolean): void => {
    jobs++;
    schedule.begin(start({ push: "expected", random: () => (jobs % 97) / 97 })).finish!({
      ...at(15 + ((jobs * 7) % 11)),
      pushed,
    });
  };
  const polling = (): number => first("none");
  for (let i = 0; i < 50; i++) end(false);
  assert.equal(first("expected"), polling(), "nothing is relaxed for a push that was never seen to come");
  end(true);
  assert.ok(first("expected") > polling(), "one push is enough to trust the next");
  for (let i = 0; i < 50; i++) end(true);
  const trusting = first("expected");
  for (let i = 0; i < 4; i++) end(false);
  near(first("expected"), polling(), 0.05);
  end(true);
  assert.ok(first("expected") > 0.5 * trusting);
});

test("absurd times do no harm", () => {
  const schedule = learned("k", { price: Number.MAX_VALUE, min: Number.MAX_VALUE });
  for (const elapsed of [0, Number.MAX_VALUE]) {
    const seen = {
      elapsed,
      rtt: Number.MAX_VALUE,
      polls: 1,
      notBefore: Number.MAX_VALUE,
      remaining: { p50: Infinity, p10: 1e300, p90: 0 },
    };
    const cursor = schedule.begin(start({ size: Number.MIN_VALUE }));
    cursor.next(seen);
    cursor.next({ ...seen, progress: 1 });
    cursor.quantile!(NaN, seen);
    cursor.hazard!(seen);
    cursor.finish!({ after: elapsed, atMost: Infinity, duration: Infinity });
  }
});
