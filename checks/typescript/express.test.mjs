// The inbox in Express, before and behind parsers of bodies.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Inbox } from "abide-client";
import { sign } from "abide-client/webhooks";
import express from "express";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

test("Express hands on the bytes, or hears what is wrong", { timeout: 30_000 }, async () => {
  const inbox = new Inbox({ secret: SECRET }),
    app = express();
  app.post("/plain", inbox.express());
  app.post("/raw", express.raw({ type: "*/*" }), inbox.express());
  app.post("/parsed", express.json(), inbox.express());
  const server = app.listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const statuses = [];
  for (const path of ["plain", "raw", "parsed"]) {
    const body = JSON.stringify({ type: "test", path }),
      at = Math.floor(Date.now() / 1000),
      id = `msg_${path}`;
    const headers = {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(at),
      "webhook-signature": await sign(SECRET, id, at, body),
    };
    statuses.push(
      (await fetch(`http://127.0.0.1:${server.address().port}/${path}`, { method: "POST", headers, body })).status,
    );
  }
  assert.deepEqual(statuses, [204, 204, 500]);
  server.close();
});
