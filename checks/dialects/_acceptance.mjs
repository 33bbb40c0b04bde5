// Shared by the acceptance clients; see _acceptance.py for the three ways to say what is to happen to a job.
import http from "node:http";

export const MODE = process.env.ABIDE_DOOR ?? "inline";
export function base() {
  if (!process.argv[2]) { console.error(`usage: ${process.argv[1]} BASE_URL`); process.exit(2); }
  return process.argv[2].replace(/\/+$/, "");
}
export async function directive(duration = "1s", error) {
  const text = `abide:duration=${duration}` + (error ? `,error=${error}` : "");
  if (MODE === "patch") {
    await fetch(new URL("/v1/simulator", base()), { method: "PATCH", headers: { "content-type": "application/json" },
      body: JSON.stringify({ duration: { fixed: duration }, outcome: { error_chance: error ? 1 : 0 } }) });
    return { text: "", headers: {} };
  }
  return MODE === "header" ? { text: "", headers: { "Abide-Simulate": text } } : { text, headers: {} };
}
export async function receiver() {
  const got = [], waiting = [];
  const server = http.createServer((q, s) => {
    const parts = [];
    q.on("data", (c) => parts.push(c)).on("end", () => {
      s.writeHead(200).end();
      if (q.method !== "POST") return;
      const it = { headers: q.headers, body: Buffer.concat(parts) };
      waiting.length ? waiting.shift()(it) : got.push(it);
    });
  });
  await new Promise((r) => server.listen(0, "127.0.0.1", r));
  return {
    url: `http://127.0.0.1:${server.address().port}/hook`,
    take: (ms = 15000) => got.length ? Promise.resolve(got.shift())
      : new Promise((ok, no) => { const t = setTimeout(() => no(new Error("no webhook came")), ms); waiting.push((x) => { clearTimeout(t); ok(x); }); }),
  };
}
let passed = 0;
export function check(name, ok, note = "") {
  console.log(`${ok ? "ok  " : "FAIL"} ${name}${note !== "" ? "  — " + note : ""}`);
  if (!ok) process.exit(1);
  passed++;
}
export function done() { console.log(`${passed} passed, 0 failed`); process.exit(0); }
export async function fails(promise, pattern) {
  try { await promise; return null; } catch (e) { return pattern.test(`${e.name} ${e.message}`) ? e : Promise.reject(e); }
}
