import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { test } from "node:test";

import { AwareDoor, type AwareResult } from "../../../src/edge/aware/aware_door.ts";
import { ByteBudget } from "../../../src/edge/aware/byte_budget.ts";
import { OwnedIds } from "../../../src/edge/aware/owned_ids.ts";
import { BodyWatch } from "../../../src/edge/body_watch.ts";
import { TunnelCounters } from "../../../src/edge/served_tunnel.ts";
import { silentLogger } from "../../../src/log.ts";
import type { Principal } from "../../../src/principal.ts";
import { fakeClock } from "../../support/fake_clock.ts";
import { MCP_TUNNEL } from "../../support/tunnel_bench.ts";

test("A body takes room of its sender, and none of the same name of another issuer", () => {
  const clock = fakeClock();
  const watch = new BodyWatch(clock, 1_000);
  const door = new AwareDoor({
    clock,
    log: silentLogger,
    policy: () => undefined,
    owned: new OwnedIds(clock),
    budget: new ByteBudget({ mostBytes: 1_000, mostBytesEach: 100 }),
    bodyWatch: watch,
    maxBodyBytes: () => 1_000,
  });
  /** What came of a body that has not ended; `undefined` while more of it is waited for. */
  const afterBytes = (bytes: number, of: Partial<Principal>): AwareResult | undefined => {
    let result: AwareResult | undefined;
    const request = unfinishedRequest();
    door.judge({
      request: request as unknown as IncomingMessage,
      tunnel: {
        settings: { ...MCP_TUNNEL, auth: "edge", mode: "aware" },
        url: "https://edge.example.com/code/mcp",
        counters: new TunnelCounters(clock),
      },
      client: {
        outcome: "authenticated",
        principal: { user: "alice", groups: [], how: "jwt", ...of },
        validUntilMs: Infinity,
        stillValid: () => true,
      },
      body: "sized",
      record: undefined,
    }, (settled) => result = settled);
    request.emit("data", Buffer.alloc(bytes, " "));
    return result;
  };

  const one = { issuer: "https://one.example.com" };
  assert.equal(afterBytes(100, one), undefined);
  assert.deepEqual(afterBytes(1, one), { kind: "fail", code: "STREAM_LIMIT" });
  const others: readonly Partial<Principal>[] = [
    { issuer: "https://two.example.com" },
    { how: "user_token" },
    { how: "certificate" },
    { ...one, user: "bob" },
  ];
  let tried = 0;
  for (const other of others) {
    assert.equal(afterBytes(100, other), undefined);
    tried++;
  }
  assert.equal(tried, 4);
  watch.close();
});

function unfinishedRequest(): PassThrough {
  return Object.assign(new PassThrough(), { socket: new EventEmitter() });
}
