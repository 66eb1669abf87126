/** Tools of the sample server that report while they run, and stop when the client does. @module */

import type { ServerContext } from "@modelcontextprotocol/server";
import { type Clock, delay } from "../clock.ts";
import { SAMPLE_MAX_STEP_MS, SAMPLE_MAX_STEPS } from "../limits.ts";
import { objectSchema, type Registrar } from "./schema.ts";
import { textResult, toolError } from "./text_tools.ts";

const STEP_MS = {
  type: "integer",
  minimum: 0,
  maximum: SAMPLE_MAX_STEP_MS,
  description: "Pause between two steps in milliseconds; 1,000 when absent",
} as const;

/** The tools `work` and `countdown`. */
export function streamingTools(clock: Clock): Registrar {
  const workSchema = objectSchema<{ steps: number; stepMs?: number }>({
    steps: { type: "integer", minimum: 1, maximum: SAMPLE_MAX_STEPS, description: "How many" },
    stepMs: STEP_MS,
  }, ["steps"]);
  const countdownSchema = objectSchema<{ from: number; stepMs?: number }>({
    from: { type: "integer", minimum: 1, maximum: SAMPLE_MAX_STEPS, description: "First number" },
    stepMs: STEP_MS,
  }, ["from"]);

  return (server) => {
    server.registerTool("work", {
      title: "Work",
      description: "Works in steps and reports progress after each one.",
      inputSchema: workSchema,
    }, async ({ steps, stepMs = 1_000 }, context) => {
      for (let step = 1; step <= steps; step++) {
        if (await delay(clock, stepMs, context.mcpReq.signal) === "aborted") {
          return stopped(step - 1);
        }
        await reportProgress(context, { progress: step, total: steps, message: `Step ${step}` });
      }
      return textResult(`Did ${steps} steps`);
    });

    server.registerTool("countdown", {
      title: "Countdown",
      description: "Counts down to zero and streams every number as a log message and as progress.",
      inputSchema: countdownSchema,
    }, async ({ from, stepMs = 1_000 }, context) => {
      for (let number = from; number > 0; number--) {
        await context.mcpReq.log("info", { countdown: number }, "countdown");
        const progress = { progress: from - number + 1, total: from, message: String(number) };
        await reportProgress(context, progress);
        if (await delay(clock, stepMs, context.mcpReq.signal) === "aborted") {
          return stopped(from - number);
        }
      }
      return textResult("Lift-off");
    });
  };
}

interface ProgressReport {
  readonly progress: number;
  readonly total: number;
  readonly message: string;
}

/** Sends a progress notification if the caller asked for any. */
async function reportProgress(context: ServerContext, report: ProgressReport): Promise<void> {
  const progressToken = context.mcpReq._meta?.progressToken;
  if (progressToken === undefined) return;
  await context.mcpReq.notify({
    method: "notifications/progress",
    params: { progressToken, ...report },
  });
}

function stopped(steps: number) {
  return toolError(`Stopped after ${steps} steps: the client canceled`);
}
