import assert from "node:assert/strict";
import { test } from "node:test";

import { addressGroup } from "../../../src/runtime/address_group.ts";

test("an IPv4 address is one sender, also when it is written as IPv6", () => {
  assert.equal(addressGroup("192.0.2.7"), "192.0.2.7");
  assert.equal(addressGroup("::ffff:192.0.2.7"), "192.0.2.7");
});

test("a /64 of IPv6 is one sender, however it is written", () => {
  const same = [
    "2001:db8:1:2::1",
    "2001:0DB8:0001:0002:ffff:ffff:ffff:ffff",
    "2001:db8:1:2:3:4:192.0.2.1",
    "2001:db8:1:2::%eth0",
  ];
  let count = 0;
  for (const text of same) {
    assert.equal(addressGroup(text), "2001:db8:1:2::/64");
    count += 1;
  }

  assert.equal(count, 4);
  assert.notEqual(addressGroup("2001:db8:1:3::1"), addressGroup("2001:db8:1:2::1"));
  assert.equal(addressGroup("::1"), "0:0:0:0::/64");
  assert.equal(addressGroup("fe80::1"), "fe80:0:0:0::/64");
});

test("what is no address is a sender of its own", () => {
  assert.equal(addressGroup("unknown"), "unknown");
});
