/** The numbers the project holds itself to, and whether a run met them. Pure. @module */

import { spread } from "./lib/stats.mjs";

/** Growth of memory that counts as none, bytes per request. A choice: small beside the state of a stream. */
const FLAT_BYTES_PER_REQUEST = 100;

/** Requests below which the heap is still finding its size, so that a slope would say nothing about leaks. */
const SLOPE_REQUESTS = 50_000;

/**
 * Compares a run with the targets. Ratios and differences are taken between legs of the same round, then the
 * median of them counts; memory and failures count by their worst round.
 *
 * @returns rows of {what, target, measured, verdict}; a verdict is "pass", "miss" or "not measured"
 */
export function judge(records) {
  const value = (scenario, leg, label, metric, round) =>
    records.find((r) =>
      r.scenario === scenario && r.leg === leg && r.label === label && r.round === round
    )?.values[metric];
  const rounds = [...new Set(records.map((r) => r.round))];
  const paired = (scenario, label, metric, leg, reference, combine) =>
    spread(rounds.flatMap((round) => {
      const [a, b] = [leg, reference].map((one) => value(scenario, one, label, metric, round));
      return a === undefined || b === undefined || b === 0 ? [] : [combine(a, b)];
    }));
  const all = (scenario, leg, label, metrics) =>
    spread(
      rounds.flatMap((round) =>
        metrics.map((metric) => value(scenario, leg, label, metric, round)).filter((v) =>
          v !== undefined
        )
      ),
    );
  const ratio = (a, b) => a / b;
  const requests = records.find((r) => r.scenario === "memory" && r.label.endsWith(" requests"))
    ?.label;
  const settled = Number.parseInt(requests ?? "0") >= SLOPE_REQUESTS ? requests : undefined;
  const node = "mcptun node";
  const atLeast = (bound) => (s) => s.median >= bound;

  return [
    row(
      "QUIC core echo vs the package's classes, 32 in flight",
      "≥ 20×",
      paired("echo", "32 in flight", "rate", "core node", "package classes", ratio),
      "×",
      atLeast(20),
    ),
    row(
      "tunnel on Node vs the plain Node proxy, 32 in flight",
      "≥ 0.7×",
      paired("small", "32 in flight", "rate", node, "node proxy", ratio),
      "×",
      atLeast(0.7),
    ),
    row(
      "p50 added over the plain Node proxy, 1 in flight",
      "≤ 0.4 ms",
      paired("small", "1 in flight", "p50Ms", node, "node proxy", (a, b) => a - b),
      " ms",
      (s) => s.median <= 0.4,
    ),
    row(
      "aware tunnel vs a transparent one, 32 in flight",
      "≥ 0.9×",
      paired("aware", "32 in flight", "rate", "aware", "transparent", ratio),
      "×",
      atLeast(0.9),
    ),
    row(
      "the same, when both ask for a token",
      "≥ 0.9×",
      paired("aware", "32 in flight", "rate", "aware", "transparent, token", ratio),
      "×",
      atLeast(0.9),
    ),
    row(
      "p50 added by an aware tunnel, 1 in flight",
      "≤ 0.15 ms",
      paired("aware", "1 in flight", "p50Ms", "aware", "transparent", (a, b) => a - b),
      " ms",
      (s) => s.median <= 0.15,
    ),
    row(
      "100 MiB response vs the QUIC core's bulk rate",
      "≥ 0.8×",
      paired("bodies", "100 MiB down", "rateMibS", node, "core node", ratio),
      "×",
      atLeast(0.8),
    ),
    row(
      "memory growth on each side during it",
      "< 64 MiB",
      all("bodies", node, "100 MiB down", ["growthMib edge", "growthMib rift"]),
      " MiB",
      (s) => s.max < 64,
    ),
    row(
      `failures in ${requests ?? "100000 requests"} on one connection`,
      "0",
      all("memory", node, requests, ["failures"]),
      "",
      (s) => s.max === 0,
    ),
    row(
      "tunnel connections during them",
      "1",
      all("memory", node, requests, ["connections"]),
      "",
      (s) => s.min === 1 && s.max === 1,
    ),
    row(
      "memory slope along them, each side",
      `< ${FLAT_BYTES_PER_REQUEST} B/request`,
      all("memory", node, settled, ["bytesPerRequest edge", "bytesPerRequest rift"]),
      " B",
      (s) => s.max < FLAT_BYTES_PER_REQUEST,
    ),
    row(
      "tunnel on Deno vs on Node, 32 in flight",
      "≥ 0.8×",
      paired("small", "32 in flight", "rate", "mcptun deno", node, ratio),
      "×",
      atLeast(0.8),
    ),
  ];
}

function row(what, target, measured, unit, met) {
  if (measured === undefined) return { what, target, measured: "", verdict: "not measured" };
  const [median, min, max] = [measured.median, measured.min, measured.max].map((n) =>
    Number(n.toPrecision(3))
  );
  return {
    what,
    target,
    measured: `${median}${unit} (${min}–${max})`,
    verdict: met(measured) ? "pass" : "miss",
  };
}
