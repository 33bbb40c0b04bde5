/**
 * A server for your tests: jobs that take time, fail and get stuck, by a seed, on a clock that you turn.
 *
 * ```ts
 * const abide = await startAbide({ clock: "manual", seed: 7 });
 * beforeEach(() => abide.reset());
 * afterAll(() => abide.stop());
 * ```
 */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Duration, millis } from "./rt/duration.js";

/** What a server for tests may be told. */
export interface ServerOptions {
  /** The program. Default: `ABIDE` of the environment, else `abide` on the path. */
  program?: string;
  /** The faults that every job meets: the name of a built-in scenario such as `flaky`. Default: none. */
  scenario?: string | undefined;
  /** What decides every draw: the same seed gives the same jobs and the same faults. Default: 1. */
  seed?: number;
  /** `manual` stands still until it is advanced. Default: `real`. */
  clock?: "real" | "manual";
  /** How many times faster than real time the server lives. */
  speed?: number;
  /** Further arguments of `abide serve`. */
  args?: readonly string[];
  /** How long the server may take to start. Default: 30 s. */
  timeout?: Duration;
}

/** A server for tests. */
export class TestServer {
  /** Its address. */
  readonly url: string;
  readonly #options: ServerOptions;
  readonly #process: ChildProcess | undefined;

  /** @internal Use `startAbide`. */
  constructor(url: string, options: ServerOptions, process?: ChildProcess) {
    this.url = url;
    this.#options = options;
    this.#process = process;
  }

  /**
   * Forgets all jobs, webhooks and counts, and begins all draws anew: call it before each test, and each is alone in
   * the world. What a test has set by `simulate` is as it was at the start.
   */
  async reset(): Promise<void> {
    const { scenario = null, seed = 1 } = this.#options;
    const answer = await this.#send("POST", "/v1/reset");
    if (!answer.ok) throw new Error(`the server can't be reset: ${await answer.text()}`);
    await this.simulate({ scenario, seed });
  }

  /** Changes what the next jobs meet: `{ duration: "1h", outcome: { error_chance: 0 }, faults: [...] }`. */
  async simulate(settings: Record<string, unknown>): Promise<void> {
    const answer = await this.#send("PATCH", "/v1/simulator", settings);
    if (!answer.ok) throw new Error(`the simulator refuses: ${await answer.text()}`);
  }

  /** Moves a manual clock: everything that is due on the way happens before this resolves. */
  async advance(span: Duration): Promise<void> {
    const answer = await this.#send("POST", "/v1/clock/advance", { seconds: millis(span) / 1000 });
    if (!answer.ok) throw new Error(`the clock can't be advanced: ${await answer.text()}`);
  }

  /** The report card: how well each client waits. */
  async report(): Promise<unknown> {
    return (await this.#send("GET", "/v1/report")).json();
  }

  /** Ends the server, if `startAbide` has started it. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (!process || process.exitCode !== null) return;
    const ended = new Promise((end) => process.once("exit", end));
    process.ref();
    process.kill();
    await ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #send(method: string, path: string, body?: unknown): Promise<Response> {
    const init: RequestInit = { method };
    if (body !== undefined) {
      init.headers = { "content-type": "application/json" };
      init.body = JSON.stringify(body);
    }
    return fetch(this.url + path, init);
  }
}

/**
 * Starts `abide serve` on a free port. Under `abide test -- COMMAND`, which has started one, that one is taken, and the
 * options are what its `reset` sets.
 */
export const startAbide = async (options: ServerOptions = {}): Promise<TestServer> => {
  const { ABIDE, ABIDE_SERVER } = process.env;
  if (ABIDE_SERVER && !options.program) return new TestServer(ABIDE_SERVER.replace(/\/+$/, ""), options);
  const { args = [], clock, program = ABIDE || "abide", scenario, seed = 1, speed, timeout = 30_000 } = options,
    directory = await mkdtemp(join(tmpdir(), "abide-")),
    ready = join(directory, "url"),
    until = performance.now() + millis(timeout);
  const words = [
    "serve",
    "--ephemeral",
    "--listen",
    "127.0.0.1:0",
    "--rate-limit",
    "off",
    "--seed",
    String(seed),
    "--ready-file",
    ready,
  ];
  if (clock) words.push("--clock", clock);
  if (speed) words.push("--speed", String(speed));
  if (scenario) words.push("--scenario", scenario);
  // The settings are those that are said here, whatever else the environment says.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ABIDE")));
  const server = spawn(program, [...words, ...args], { stdio: ["ignore", "ignore", "pipe"], env });
  let log = "",
    failed: Error | undefined;
  server.stderr.on("data", (text: Buffer) => (log = (log + text.toString()).slice(-4000)));
  server.once("error", (error) => (failed = error));
  // A test that forgets to stop it doesn't leave it behind.
  const kill = (): void => void server.kill();
  process.once("exit", kill);
  server.once("exit", () => process.off("exit", kill));
  try {
    for (;;) {
      const url = (await readFile(ready, "utf8").catch(() => "")).trim();
      if (url) {
        // The runner ends when its tests do, whether or not the server is stopped.
        server.unref();
        (server.stderr as { unref?: () => void }).unref?.();
        return new TestServer(url, options, server);
      }
      if (failed) throw new Error(`${program} can't be run: ${failed.message}`);
      if (server.exitCode !== null) throw new Error(`${program} didn't start:\n${log}`);
      if (performance.now() > until)
        throw new Error(`${program} isn't ready after ${millis(timeout) / 1000} s:\n${log}`);
      await sleep(20);
    }
  } catch (error) {
    server.kill();
    throw error;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};
