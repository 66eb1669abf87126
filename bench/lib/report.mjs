/** From raw records to tables: medians, spreads, paired ratios. Pure. @module */

import { spread } from "./stats.mjs";

/** One table per scenario: a row per leg and label; ratios are to the reference leg of the same round. */
export function tableOf(scenario, name, records) {
  const own = records.filter((r) => r.scenario === name);
  const keys = [...new Map(own.map((r) => [`${r.label}\n${r.leg}`, r])).values()];
  const metrics = scenario.metrics.filter(([metric]) =>
    own.some((r) => r.values[metric] !== undefined)
  );
  const ratio = scenario.ratioOf;
  const head = ["what", "leg", ...metrics.map(([, title]) => title)];
  if (ratio !== undefined) head.push(`× ${scenario.reference}`);
  const labels = [...new Set(keys.map((r) => r.label))];
  const rows = labels.flatMap((label) =>
    keys.filter((r) => r.label === label).map(({ leg }) => {
      const runs = own.filter((r) => r.label === label && r.leg === leg);
      const cells = metrics.map(([metric, , digits]) =>
        cell(runs.map((r) => r.values[metric]), digits)
      );
      if (ratio !== undefined) cells.push(cell(ratios(own, runs, scenario), 2));
      return [label, leg, ...cells];
    })
  );
  return format([head, ...rows]);
}

/** Rows of text, columns aligned. */
export function format(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => [...row[i]].length)));
  return rows.map((row) =>
    row.map((text, i) => text + " ".repeat(widths[i] - [...text].length)).join("  ").trimEnd()
  ).join("\n");
}

function ratios(own, runs, { reference, ratioOf }) {
  return runs.map((run) => {
    const base = own.find((r) =>
      r.leg === reference && r.label === run.label && r.round === run.round
    );
    return base === undefined ? undefined : run.values[ratioOf] / base.values[ratioOf];
  });
}

/** `median (min–max)`; only the number when there was one round or no spread. */
function cell(values, digits) {
  const s = spread(values.filter((v) => typeof v === "number" && Number.isFinite(v)));
  if (s === undefined) return "";
  const text = (n) => n.toFixed(digits);
  return text(s.min) === text(s.max)
    ? text(s.median)
    : `${text(s.median)} (${text(s.min)}–${text(s.max)})`;
}
