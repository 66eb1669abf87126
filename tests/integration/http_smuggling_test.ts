// test-timeout: 120s
// Requests that two readers could read in two ways (RFC 9112, section 11.2): what the edge answers,
// and that the private server sees nothing that the edge did not mean to send.

import assert from "node:assert/strict";
import { test } from "node:test";

import { smugglingCases, startSmugglingBench } from "../support/smuggling.ts";

/** Group, how many cases it has, and what its test is called. */
const GROUPS = [
  { group: "content_length", count: 41, text: "no way to write Content-Length smuggles a request" },
  { group: "transfer_encoding", count: 44, text: "no Transfer-Encoding smuggles a request" },
  { group: "chunks", count: 52, text: "no way to write chunks or trailers smuggles a request" },
  { group: "header_lines", count: 45, text: "no way to write header lines smuggles a header" },
  { group: "request_line", count: 61, text: "no request line reaches what it should not" },
  {
    group: "paths",
    count: 64,
    text: "no spelling of a path reaches another tunnel or leaves its own",
  },
  { group: "hosts", count: 51, text: "no spelling of Host reaches another tunnel" },
  { group: "hop_by_hop", count: 20, text: "Connection takes away no header it must not" },
  { group: "expect_upgrade", count: 26, text: "no expectation or upgrade smuggles a request" },
  { group: "pipelining", count: 20, text: "nothing behind a refused request is taken for another" },
] as const;

for (const { group, count, text } of GROUPS) {
  test(text, { timeout: 60_000 }, async () => {
    const cases = smugglingCases(group);
    const place = await startSmugglingBench();
    let ran = 0;
    try {
      for (const one of cases) {
        await place.run(one);
        ran += 1;
      }
    } finally {
      await place.close();
    }

    assert.equal(ran, count);
  });
}
