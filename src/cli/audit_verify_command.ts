/** `mcptun audit verify`: is the trail what was written? @module */

import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";

import { escapeUnseen } from "../audit/line_text.ts";
import {
  isKeyId,
  KEY_FILE,
  PUBLIC_KEY_FILE,
  type PublicKey,
  publicKeyOfText,
} from "../audit/signing_key.ts";
import { verifyTrail } from "../audit/verify.ts";
import type { Finding, VerifyReport } from "../audit/verify_report.ts";
import { formatSize } from "../config/value.ts";
import { TunnelError } from "../errors.ts";
import { MAX_PEM_FILE_BYTES } from "../limits.ts";
import { readNamedFile, unreadReason } from "../runtime/named_file.ts";
import { readAuditState } from "./audit_setup.ts";
import { inertText } from "./fitted_table.ts";
import type { Io } from "./io.ts";
import { loadFor } from "./key_option.ts";
import { columns } from "./report.ts";

/** What `audit verify` is told. */
export interface AuditVerifyOptions {
  readonly config?: string | undefined;
  /** Files or ids. */
  readonly key?: readonly string[] | undefined;
  readonly json?: true | undefined;
}

/**
 * Checks, prints what was found, and gives the exit code: 0 for a trail that is intact by a key that
 * is trusted, else 1 (also when earlier files are missing).
 *
 * @throws {TunnelError} `USAGE`, `CONFIG_INVALID`; `STATE_UNUSABLE` when a file cannot be read.
 */
export async function runAuditVerify(
  io: Io,
  files: readonly string[],
  options: AuditVerifyOptions,
): Promise<0 | 1> {
  const { config, shown, file: read } = loadFor(io, options.config, []);
  const trail = config.audit.file;
  if (files.length === 0 && trail === undefined) {
    throw new TunnelError(
      "USAGE",
      read === undefined
        ? "Cannot tell where the audit trail is: there is no mcptun.toml here (name one with " +
          "--config, or the files of the trail)"
        : `Cannot tell where the audit trail is: ${shown} does not set audit.file (set it, or name ` +
          "the files of the trail)",
    );
  }
  const given = (options.key ?? []).map((text) => givenKey(io, text));
  // Keys that are named replace the one of the state directory: it may be on another host.
  const isFromState = given.length === 0 && (read !== undefined || trail !== undefined);
  const state = isFromState ? await stateOf(config.edge.stateDir, trail) : undefined;
  const keys = given.flatMap((key) => typeof key === "string" ? [] : [key]);
  if (state?.key !== undefined) keys.push(state.key);
  const paths = files.map((file) => resolve(io.cwd, file));
  // Of files that were picked, the newest may be left out on purpose.
  const isWhole = paths.length === 0 || paths.includes(trail ?? "");
  const otherHead = isWhole ? state?.otherHead : state?.head ?? state?.otherHead;
  const report = await verifyTrail({
    source: paths.length === 0 ? { trail: trail! } : { files: paths }, // refused above without both
    trust: { keys, ids: given.filter((key) => typeof key === "string") },
    head: isWhole ? state?.head : undefined,
    otherHead,
    signal: io.signal,
  });
  const keyFrom = given.length > 0 ? "--key" : state?.key === undefined ? undefined : "state_dir";
  const headGap: HeadGap | undefined = report.head === "known"
    ? undefined
    : given.length > 0
    ? { why: "key_option" }
    : state === undefined
    ? { why: "no_state_dir" }
    : otherHead !== undefined
    ? { why: "other_path", path: otherHead.path }
    : { why: state.isHeadDamaged ? "damaged" : "absent" };
  io.stdout.write(
    options.json === true ? jsonOf(report, keyFrom, headGap) : textOf(report, keyFrom, headGap),
  );
  return report.verdict === "intact" ? 0 : 1;
}

/** As `readAuditState`; another user than the edge's is told how to check without its private key. */
async function stateOf(
  stateDir: string,
  trail: string | undefined,
): ReturnType<typeof readAuditState> {
  try {
    return await readAuditState(stateDir, trail);
  } catch (error) {
    const path = join(stateDir, KEY_FILE);
    if (!(error instanceof TunnelError) || !await isOthers(path, error.cause)) throw error;
    throw new TunnelError(
      "AUDIT_UNREADABLE",
      `Cannot read "${path}": it is the edge's private key, and this process runs as another user ` +
        `(give its public half with --key FILE: a copy of "${PUBLIC_KEY_FILE}", which stands beside ` +
        "it; or run this as the user of the edge)",
      { cause: error },
    );
  }
}

async function isOthers(path: string, cause: unknown): Promise<boolean> {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (code === "EACCES" || code === "EPERM") return true;
  const own = process.getuid?.(); // absent on Windows
  const stats = await stat(path).catch(() => undefined);
  return own !== undefined && stats !== undefined && stats.uid !== own;
}

function givenKey(io: Io, given: string): PublicKey | string {
  let text: string;
  try {
    text = readNamedFile(resolve(io.cwd, given), MAX_PEM_FILE_BYTES).bytes.toString("utf8");
  } catch (cause) {
    if (isKeyId(given)) return given;
    const key = publicKeyOfText(given);
    if (key !== undefined) return key;
    const reason = unreadReason(cause, { ENOENT: "no such file, and no id of a key" });
    throw new TunnelError("USAGE", `Cannot use --key ${JSON.stringify(given)}: ${reason}`, {
      cause,
    });
  }
  const key = publicKeyOfText(text) ?? (isKeyId(text.trim()) ? text.trim() : undefined);
  if (key !== undefined) return key;
  throw new TunnelError(
    "USAGE",
    `Cannot use --key ${JSON.stringify(given)}: it holds no Ed25519 public key in PEM`,
  );
}

type KeyFrom = "--key" | "state_dir" | undefined;

/** Why it is not known what was signed last. */
type HeadGap =
  | { readonly why: "key_option" | "no_state_dir" | "absent" | "damaged" }
  /** It speaks of this trail, and its signature is not here. */
  | { readonly why: "other_path"; readonly path: string };

function jsonOf(report: VerifyReport, keyFrom: KeyFrom, headGap: HeadGap | undefined): string {
  const { verdict, end, signed, keys, ...rest } = report;
  // Always there, so that whoever reads it needs no check for the key.
  const value = {
    ...{ verdict, end, signed: signed ?? null, key_from: keyFrom ?? null, keys },
    ...{ head_gap: headGap ?? null },
    ...rest,
  };
  return `${escapeUnseen(JSON.stringify(value))}\n`;
}

function textOf(report: VerifyReport, keyFrom: KeyFrom, headGap: HeadGap | undefined): string {
  const { problems, moreProblems, notes, files, records, bytes, signed } = report;
  const lines = [
    ...problems.map((problem) =>
      `${placeOf(problem)}: ${problem.code.toUpperCase()}: ${problem.text}`
    ),
    ...(moreProblems === 0
      ? []
      : [`and ${moreProblems} more problem${moreProblems === 1 ? "" : "s"}`]),
    ...notes.map((note) => `${placeOf(note)}: note: ${note.text}`),
  ].map((line) => `${inertText(line)}\n`).join("");
  const facts = columns([
    ["files", `${files.length}, ${records} record${records === 1 ? "" : "s"}, ${sizeOf(bytes)}`],
    ["signed", signed === undefined ? "nothing" : signedText(report, signed)],
    ["key", keyText(report, keyFrom)],
    ["end", report.lines === 0 && report.end === "open" ? EMPTY_TEXT : END_TEXT[report.end]],
    ...(headGap === undefined ? [] : [["cut", cutText(report, headGap)]]),
  ], "  ");
  return `${lines}${lines === "" ? "" : "\n"}${verdictText(report)}\n${inertLines(facts)}`;
}

function placeOf({ file, line }: Finding<string>): string {
  return file === undefined ? "trail" : line === undefined ? file : `${file}:${line}`;
}

function signedText(
  { unsignedLines }: VerifyReport,
  { file, line, time }: NonNullable<VerifyReport["signed"]>,
): string {
  const rest = unsignedLines === 0
    ? "to the end"
    : unsignedLines === 1
    ? "the line behind it is not, and proves nothing yet"
    : `the ${unsignedLines} lines behind it are not, and prove nothing yet`;
  return `up to ${file}:${line} (${time}), ${rest}`;
}

function keyText({ keys, verdict }: VerifyReport, keyFrom: KeyFrom): string {
  if (keys.length === 0) return "none has signed";
  const ids = keys.map(({ id, trusted }) => `${id}${trusted ? "" : " (not trusted)"}`).join(", ");
  if (keyFrom !== undefined) return `${ids}, trusted from ${keyFrom}`;
  return verdict === "damaged"
    ? ids
    : `${ids}: the file's own word; name the key with --key, or its state_dir with --config`;
}

function sizeOf(bytes: number): string {
  if (bytes < 1_024) return formatSize(bytes);
  const units = ["KiB", "MiB", "GiB"];
  let value = bytes / 1_024;
  let at = 0;
  for (; value >= 1_024 && at < units.length - 1; at++) value /= 1_024;
  return `${value.toFixed(1)} ${units[at]!}`;
}

function inertLines(text: string): string {
  return text.split("\n").map(inertText).join("\n");
}

/** An orderly end may be the last line; behind another one there may be more. */
function verdictText({ verdict, head, end }: VerifyReport): string {
  return verdict === "intact" && head === "unknown" && end !== "clean"
    ? AS_FAR_TEXT
    : VERDICT_TEXT[verdict];
}

function cutText({ end }: VerifyReport, gap: HeadGap): string {
  const what = end === "clean"
    ? "it is not seen here if a later run of the edge is missing, whole"
    : "it is not seen here if lines are missing at the end, wherever they were cut off";
  return `${what}: ${gap.why === "other_path" ? otherText(gap.path) : GAP_TEXT[gap.why]}`;
}

function otherText(path: string): string {
  return `audit-head.json of state_dir speaks of "${path}", and the last signature that it knows of ` +
    "is not here";
}

const GAP_TEXT = {
  key_option:
    "with --key, audit-head.json of state_dir, which says what was signed last, is not read",
  no_state_dir:
    "no configuration names the state_dir, whose audit-head.json says what was signed last",
  absent: "state_dir has no audit-head.json, which says what was signed last",
  damaged: "audit-head.json of state_dir, which says what was signed last, is damaged",
} as const;

const AS_FAR_TEXT =
  "intact as far as it goes: every line here is what was written; whether lines " +
  "are missing at the end cannot be told here";
const EMPTY_TEXT = "there is no line";

const VERDICT_TEXT = {
  intact: "intact: every line is what was written",
  incomplete: "INCOMPLETE: every line here is what was written, but files from before are not here",
  unproven: "UNPROVEN: nothing is wrong in itself, but no key that is trusted has signed it",
  damaged: "DAMAGED: it is not what was written",
} as const;

const END_TEXT = {
  clean: "the edge stopped in an orderly way",
  open: "the edge is running, or did not stop in an orderly way",
  torn: "half a line: the edge is writing, or a crash cut it off",
} as const;
