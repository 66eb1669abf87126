/** Does an upstream answer HTTP at all? @module */

import type { Clock } from "../clock.ts";
import { PROBE_TIMEOUT_MS } from "../limits.ts";
import type { Upstream } from "./upstream.ts";

/** What a probe found. */
export type ProbeResult = "answers" | { readonly problem: string };

/**
 * Asks for `path` with `OPTIONS`, which changes nothing, and takes any status for an answer: a
 * server that wants a token or knows no such method is there.
 */
export function probeUpstream(
  upstream: Upstream,
  path: string,
  clock: Clock,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    let abort: ((error?: Error) => void) | undefined;
    let settled = false;
    const settle = (result: ProbeResult): void => {
      if (settled) return;
      settled = true;
      timer.cancel();
      resolve(result);
      abort?.();
    };
    const timer = clock.setTimer(
      PROBE_TIMEOUT_MS,
      () => settle({ problem: `no answer in ${PROBE_TIMEOUT_MS} ms` }),
      "no",
    );
    upstream.dispatch({ method: "OPTIONS", path, headers: ["accept", "*/*"] }, {
      onConnect(cancel) {
        abort = cancel;
        if (settled) cancel();
      },
      onHeaders(status) {
        if (status >= 200) settle("answers");
        return true;
      },
      onData: () => true,
      onComplete() {},
      onError: (error) => settle({ problem: problemOf(error) }),
    });
  });
}

/** One line for a person: the system's code if there is one. */
function problemOf(error: Error): string {
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  return code === undefined ? error.message : `${code}: ${error.message}`;
}
