/** `mcptun policy check` and `mcptun policy explain`: the decisions of the edge, asked beforehand. @module */

import { resolve } from "node:path";

import { loadConfig, type LoadedConfig } from "../config/load.ts";
import {
  type LoadedPolicy,
  loadPolicy,
  parsePolicy,
  readPolicyText,
} from "../config/policy_file.ts";
import { layersOf } from "../config/tunnel_policy.ts";
import { TunnelError } from "../errors.ts";
import type { Layer } from "../policy/decide.ts";
import { explain, type Explanation, reasonText } from "../policy/explain.ts";
import { lintPolicies, lintRules } from "../policy/lint.ts";
import { type Target, TARGET_KINDS } from "../policy/target.ts";
import type { Principal } from "../principal.ts";
import type { Io } from "./io.ts";
import { explainHints, policyHints } from "./policy_hints.ts";
import { columns, warn } from "./report.ts";

/** What `policy check` is told. */
export interface PolicyCheckOptions {
  readonly config?: string | undefined;
  readonly json?: true | undefined;
  readonly strict?: true | undefined;
}

/** What `policy explain` is told; one of the four kinds of targets. */
export interface PolicyExplainOptions {
  readonly user: string;
  readonly groups?: string | undefined;
  readonly tunnel: string;
  readonly tool?: string | undefined;
  readonly resource?: string | undefined;
  readonly prompt?: string | undefined;
  readonly method?: string | undefined;
  readonly config?: string | undefined;
  readonly json?: true | undefined;
}

/**
 * Checks the file, runs its tests, and warns of what is probably not meant.
 *
 * @throws {TunnelError} `POLICY_PROBLEMS` with one line per problem; `CONFIG_INVALID` when the file,
 *   or the configuration, cannot be read.
 */
export async function runPolicyCheck(
  io: Io,
  file: string,
  options: PolicyCheckOptions,
): Promise<void> {
  let config: LoadedConfig | undefined;
  let text: string;
  try {
    config = loadNamed(io, options.config);
    text = await readPolicyText({ file, cwd: io.cwd });
  } catch (error) {
    if (options.json === true && error instanceof TunnelError) {
      const none = { policies: 0, tests: 0, failed: 0 };
      const problems = error.message.split("\n");
      io.stdout.write(
        `${JSON.stringify({ valid: false, file, ...none, problems, warnings: [] })}\n`,
      );
    }
    throw error;
  }
  const report = reportOf({ io, file, text, config });
  const isStrict = options.strict === true;
  const problems = isStrict ? [...report.problems, ...report.warnings] : report.problems;
  const valid = problems.length === 0;
  if (options.json === true) {
    const { policies, tests, failed, warnings } = report;
    const listed = { valid, file, policies, tests, failed, problems: report.problems, warnings };
    io.stdout.write(`${JSON.stringify(listed)}\n`);
  }
  if (!isStrict) { for (const warning of report.warnings) warn(io, warning); }
  if (!valid) throw new TunnelError("POLICY_PROBLEMS", problems.join("\n"));
  if (options.json === true) return;
  const layers = config === undefined
    ? "the user layer alone; add --config for the tunnels' own rules"
    : `with the tunnels of ${options.config}`;
  io.stdout.write(
    `${file} is valid: ${count(report.policies, "policy", "policies")}, ` +
      `${count(report.tests, "test passes", "tests pass")} (${layers})\n`,
  );
}

/** Prints the decision, and what each layer says. @throws {TunnelError} `CONFIG_INVALID`, `USAGE` */
export async function runPolicyExplain(
  io: Io,
  file: string,
  options: PolicyExplainOptions,
): Promise<void> {
  const target = targetOf(options);
  const principal = principalOf(options.user, options.groups?.split(",").filter(Boolean) ?? []);
  const config = loadNamed(io, options.config);
  const loaded = await loadPolicy({ file, cwd: io.cwd });
  const { tunnel } = options;
  const layers = layersFor({ tunnel, loaded, config });
  if (typeof layers === "string") throw new TunnelError("CONFIG_INVALID", layers);
  const explanation = explain(layers, principal, target);
  if (options.json === true) {
    const { user, groups } = principal;
    io.stdout.write(`${JSON.stringify({ user, groups, tunnel, target, ...explanation })}\n`);
    return;
  }
  io.stdout.write(textOf({ explanation, principal, tunnel, target }));
  if (explanation.decision === "deny") {
    const hints = explainHints({ loaded, config, principal, tunnel, target });
    if (hints.length > 0) io.stdout.write(`\n${hints.join("\n")}\n`);
  }
  if (config === undefined) {
    io.stdout.write(
      `\nOnly the user layer is judged, and whether there is a tunnel ${
        JSON.stringify(tunnel)
      } is ` +
        "not checked: the tunnels and their own rules are in the configuration " +
        "(add --config mcptun.toml)\n",
    );
  }
}

interface CheckReport {
  readonly policies: number;
  readonly tests: number;
  /** How many tests came out otherwise than expected. */
  readonly failed: number;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

function reportOf({ io, file, text, config }: {
  readonly io: Io;
  readonly file: string;
  readonly text: string;
  readonly config: LoadedConfig | undefined;
}): CheckReport {
  let loaded: LoadedPolicy;
  try {
    loaded = parsePolicy(text, file);
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error;
    const problems = error.message.split("\n");
    return { policies: 0, tests: 0, failed: 0, problems, warnings: [] };
  }
  const problems = loaded.tests.flatMap((_, index) => testProblem(index, loaded, config) ?? []);
  const declared = config?.config.tunnels.map(({ name }) => name);
  const warnings = lintPolicies(loaded.entries, declared)
    .map(({ path, text }) => `${loaded.place(path)}: ${text}`);
  warnings.push(...policyHints(loaded, config));
  if (config !== undefined) warnings.push(...configWarnings({ io, file, config }));
  const { policy, tests } = loaded;
  return {
    policies: policy.size,
    tests: tests.length,
    failed: problems.length,
    problems,
    warnings,
  };
}

function testProblem(
  index: number,
  loaded: LoadedPolicy,
  config: LoadedConfig | undefined,
): string | undefined {
  const { user, groups, tunnel, target, expect } = loaded.tests[index]!;
  const layers = layersFor({ tunnel, loaded, config });
  if (typeof layers === "string") return `${loaded.place(["test", index, "tunnel"])}: ${layers}`;
  const explanation = explain(layers, principalOf(user, groups), target);
  if (explanation.decision === expect) return undefined;
  const why = explanation.layers
    .map((layer) => `${layer.layer}: ${layer.decision}, ${reasonText({ ...layer, tunnel })}`)
    .join("; ");
  return `${loaded.place(["test", index])}: expected ${expect}, got ${explanation.decision} for ` +
    `user ${JSON.stringify(user)}, ${target.kind} ${JSON.stringify(target.name)} (${why})`;
}

/** What is odd between the file and the configuration, and within the tunnels' own rules. */
function configWarnings({ io, file, config: loaded }: {
  readonly io: Io;
  readonly file: string;
  readonly config: LoadedConfig;
}): string[] {
  const { config } = loaded;
  const warnings: string[] = [];
  if (config.policy.file === undefined) {
    warnings.push(`${loaded.shown}: no tunnel asks ${file} (set policy.file)`);
  } else if (config.policy.file !== resolve(io.cwd, file)) {
    const place = loaded.place(["policy", "file"]);
    warnings.push(`${place}: names another file than ${file} (check that one, or change it)`);
  }
  const aware = config.tunnels.filter(({ mode }) => mode === "aware");
  if (aware.length === 0) {
    warnings.push(`${loaded.shown}: no tunnel is aware, so nothing is judged (set mode = "aware")`);
  }
  for (const tunnel of aware) {
    const index = config.tunnels.indexOf(tunnel);
    for (const { path, text } of lintRules(tunnel.rules.lists)) {
      warnings.push(`${loaded.place(["tunnel", index, ...path])}: ${text}`);
    }
    const isOpen = tunnel.rules.default === "allow" && Object.keys(tunnel.rules.lists).length === 0;
    if (isOpen && config.policy.file === undefined) {
      const place = loaded.place(["tunnel", index, "default"]);
      warnings.push(`${place}: allows everything to everybody (add rules, or set policy.file)`);
    }
  }
  return warnings;
}

/** The layers that the edge would ask, or why it would ask none. */
export function layersFor({ tunnel, loaded, config }: {
  readonly tunnel: string;
  readonly loaded: LoadedPolicy;
  readonly config: LoadedConfig | undefined;
}): readonly Layer[] | string {
  if (config === undefined) return [loaded.policy.layerFor(tunnel)];
  const { tunnels } = config.config;
  const declared = tunnels.find(({ name }) => name === tunnel);
  const name = JSON.stringify(tunnel);
  if (declared === undefined) {
    const names = tunnels.map(({ name }) => name).join(", ") || "none";
    return `Tunnel ${name} is not declared in ${config.shown} (declared: ${names})`;
  }
  if (declared.mode === "transparent") {
    return `Tunnel ${name} is transparent in ${config.shown}, so nothing is judged ` +
      '(set mode = "aware" there)';
  }
  return layersOf(config, tunnel, loaded.policy);
}

function loadNamed(io: Io, file: string | undefined): LoadedConfig | undefined {
  if (file === undefined) return undefined;
  const loaded = loadConfig({ file, cwd: io.cwd, env: io.env });
  for (const warning of loaded.warnings) warn(io, warning);
  return loaded;
}

function targetOf(options: PolicyExplainOptions): Target {
  const given = TARGET_KINDS.filter((kind) => options[kind] !== undefined);
  const [kind] = given;
  if (kind === undefined || given.length > 1) {
    throw new TunnelError(
      "USAGE",
      "Cannot tell what to judge: give exactly one of --tool, --resource, --prompt and --method",
    );
  }
  return { kind, name: options[kind]! };
}

function principalOf(user: string, groups: readonly string[]): Principal {
  return { user, groups, how: "user_token" };
}

function textOf({ explanation, principal, tunnel, target }: {
  readonly explanation: Explanation;
  readonly principal: Principal;
  readonly tunnel: string;
  readonly target: Target;
}): string {
  const { user, groups } = principal;
  const of = groups.length === 0
    ? ""
    : ` of ${groups.map((name) => JSON.stringify(name)).join(", ")}`;
  const head = `${explanation.decision}: user ${JSON.stringify(user)}${of}, ` +
    `${target.kind} ${JSON.stringify(target.name)}, tunnel ${JSON.stringify(tunnel)}\n\n`;
  return head +
    columns(
      explanation.layers.map((layer) => [
        layer.layer,
        layer.decision,
        reasonText({ ...layer, tunnel }),
      ]),
    );
}

function count(number: number, one: string, many: string): string {
  return `${number} ${number === 1 ? one : many}`;
}
