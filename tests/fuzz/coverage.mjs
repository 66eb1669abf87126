/** Tells whether an input has reached code that none before it has: V8's own block coverage. */

import { Session } from "node:inspector";

/**
 * Starts to watch the modules whose URL has `part` in it.
 *
 * @param {string} part
 * @returns {() => boolean} Has new code run since the last call?
 */
export function startCoverage(part) {
  const session = new Session();
  session.connect();
  const post = (method, params) => {
    let answer;
    session.post(method, params, (error, result) => {
      if (error) throw error;
      answer = result;
    });
    return answer;
  };
  post("Profiler.enable");
  post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const seen = new Set();
  return () => {
    const before = seen.size;
    for (const { url, functions } of post("Profiler.takePreciseCoverage").result) {
      if (!url.includes(part)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          // How often, roughly, tells loops apart that ran once, twice or many times.
          if (count > 0) {
            seen.add(`${url} ${startOffset} ${endOffset} ${Math.floor(Math.log2(count))}`);
          }
        }
      }
    }
    return seen.size > before;
  };
}
