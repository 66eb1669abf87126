/** Reads what the suite wrote and compares a run through the tunnel with a direct one. */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/**
 * The checks of every scenario in a directory the suite wrote with `-o`.
 *
 * @returns {Promise<Map<string, {passed: string[], failed: string[]}>>} By scenario; check ids.
 */
export async function readScenarios(directory) {
  const scenarios = new Map();
  for (const entry of (await readdir(directory)).sort()) {
    // "server-" + scenario + "-" + time; the time begins with a year.
    const name = /^server-(.+?)-\d{4}-\d\d-\d\dT/u.exec(entry)?.[1];
    if (name === undefined) continue;
    const checks = await readChecks(join(directory, entry, "checks.json"));
    const withStatus = (status) =>
      checks.filter((check) => check.status === status).map((check) => check.id);
    scenarios.set(name, {
      passed: withStatus("SUCCESS"),
      failed: withStatus("FAILURE"),
    });
  }
  return scenarios;
}

/** A scenario that threw has a folder without results. */
async function readChecks(file) {
  try {
    return JSON.parse(await readFile(file, "utf8"));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return [{ id: "has a result", status: "FAILURE" }];
  }
}

/** Scenarios and checks, passed and failed. */
export function totals(scenarios) {
  const all = [...scenarios.values()];
  const sum = (count) => all.reduce((total, scenario) => total + count(scenario), 0);
  return {
    scenariosPassed: all.filter(({ failed }) => failed.length === 0).length,
    scenariosFailed: all.filter(({ failed }) => failed.length > 0).length,
    checksPassed: sum(({ passed }) => passed.length),
    checksFailed: sum(({ failed }) => failed.length),
  };
}

/** What is worse through the tunnel, one line each; nothing when the tunnel is not worse. */
export function regressions(direct, tunnel) {
  const lines = [];
  for (const [name, before] of direct) {
    const after = tunnel.get(name);
    if (after === undefined) {
      lines.push(`${name}: did not run`);
      continue;
    }
    for (const id of extra(after.failed, before.failed)) {
      lines.push(`${name}: ${id} fails`);
    }
    for (const id of extra(before.passed, after.passed)) {
      if (!after.failed.includes(id)) {
        lines.push(`${name}: ${id} does not pass`);
      }
    }
  }
  return lines;
}

/** The members of `list` that `other` has not, counting doubles. */
function extra(list, other) {
  const rest = [...other];
  return list.filter((item) => {
    const index = rest.indexOf(item);
    if (index >= 0) rest.splice(index, 1);
    return index < 0;
  });
}
