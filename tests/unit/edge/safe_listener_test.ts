import assert from "node:assert/strict";
import { test } from "node:test";

import { requireSafeListener, requireSameListener } from "../../../src/edge/safe_listener.ts";

const on = (listen: string, behindProxy = false) => ({ config: { listen, behindProxy } });
const publicTls = { certPem: "cert", keyPem: "key" };
const REFUSED = { code: "CONFIG_INVALID" };

test("Plain HTTP is served on loopback and behind a proxy only", () => {
  requireSafeListener(on("127.0.0.1:8080"));
  requireSafeListener(on("[::1]:8080"));
  requireSafeListener(on("0.0.0.0:8080", true));
  requireSafeListener({ ...on("0.0.0.0:8080"), publicTls });

  assert.throws(() => requireSafeListener(on("0.0.0.0:8080")), REFUSED);
  assert.throws(() => requireSafeListener(on("[::]:8080")), REFUSED);
});

test("A running edge is judged by where it listens, not by where the file says", () => {
  const atStart = on("0.0.0.0:8080", true);

  requireSameListener(atStart, on("127.0.0.1:8080", true));
  assert.throws(() => requireSameListener(atStart, on("127.0.0.1:8080")), REFUSED);
  assert.throws(() => requireSameListener(on("127.0.0.1:80"), on("0.0.0.0:80")), REFUSED);
});

test("A running edge does not switch TLS or client certificates on or off", () => {
  const plain = on("127.0.0.1:8080");
  const secure = { ...plain, publicTls };
  const checking = { ...plain, publicTls: { ...publicTls, clientCaPem: "ca" } };

  for (const [atStart, update] of [[plain, secure], [secure, plain], [secure, checking]] as const) {
    assert.throws(() => requireSameListener(atStart, update), REFUSED);
  }
  requireSameListener(checking, { ...checking, publicTls: { ...publicTls, clientCaPem: "ca2" } });
});
