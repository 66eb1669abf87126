/**
 * Runs the steps of a check one after the other, and keeps what each has found.
 *
 * Whatever a step says is made inert here once more, so that no step can forget it, and known
 * secrets are taken out.
 *
 * @module
 */

import type { Clock } from "../clock.ts";
import { TunnelError } from "../errors.ts";
import { type Finding, line, skip, type StepStatus } from "./finding.ts";

/** One step that is over. */
export interface StepResult {
  readonly name: string;
  readonly status: StepStatus;
  /** Lines joined with a line feed. */
  readonly detail: string;
  readonly hint: string | undefined;
  readonly tookMs: number;
}

/** What a runner is given. */
export interface StepRunnerOptions {
  readonly clock: Clock;
  /** Ends the check before its next step. */
  readonly signal: AbortSignal;
  /** Told of each step when it is over. */
  readonly onStep?: ((result: StepResult) => void) | undefined;
}

/** Runs steps; each has a name, which may come more than once. */
export class StepRunner {
  readonly #options: StepRunnerOptions;
  readonly #results: StepResult[] = [];
  readonly #secrets = new Set<string>();

  constructor(options: StepRunnerOptions) {
    this.#options = options;
  }

  /** Everything so far. */
  get results(): readonly StepResult[] {
    return this.#results;
  }

  /** True while no step has failed. */
  get ok(): boolean {
    return this.#results.every(({ status }) => status !== "fail");
  }

  /** A text that no finding may show. */
  hide(secret: string): void {
    if (secret !== "") this.#secrets.add(secret);
  }

  /** `text` without the secrets this runner knows. */
  readonly redact = (text: string): string => {
    let clean = text;
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, "[redacted]");
    return clean;
  };

  /**
   * Runs one step.
   *
   * @returns What it found.
   * @throws {TunnelError} `ABORTED` when the check was asked to end.
   */
  async run(name: string, work: () => Finding | Promise<Finding>): Promise<Finding> {
    const { clock, signal } = this.#options;
    requireRunning(signal);
    const startedMs = clock.now();
    const finding = await work();
    requireRunning(signal);
    this.#add(name, finding, clock.now() - startedMs);
    return finding;
  }

  /** Notes steps that make no sense any more. */
  skip(names: readonly string[], reason: string): void {
    for (const name of names) this.#add(name, skip(reason), 0);
  }

  #add(name: string, finding: Finding, tookMs: number): void {
    const lines = typeof finding.detail === "string" ? [finding.detail] : finding.detail;
    const result: StepResult = {
      name,
      status: finding.status,
      detail: lines.map((text) => line(this.redact(text))).join("\n"),
      hint: finding.hint === undefined ? undefined : line(this.redact(finding.hint)),
      tookMs: Math.round(tookMs),
    };
    this.#results.push(result);
    this.#options.onStep?.(result);
  }
}

function requireRunning(signal: AbortSignal): void {
  if (signal.aborted) throw new TunnelError("ABORTED", "The check was interrupted");
}
