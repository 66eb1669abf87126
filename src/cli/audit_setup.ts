/** Puts the audit trail on the files of a state directory. @module */

import { type Audit, openAudit as open, type OpenAuditOptions } from "../audit/open_audit.ts";
import { readStateKey, type StateFiles } from "../audit/signing_key.ts";
import { readHead } from "../audit/trail_head.ts";
import { createStateFile, readStateFile, replaceStateFile } from "../identity/state_dir.ts";

/** The private files of a state directory. */
export const STATE_FILES: StateFiles = {
  read: readStateFile,
  create: createStateFile,
  replace: replaceStateFile,
};

/** Opens the trail of an edge, or begins it. @throws {TunnelError} `STATE_UNUSABLE` */
export function openAudit(options: Omit<OpenAuditOptions, "files">): Promise<Audit> {
  return open({ ...options, files: STATE_FILES });
}

/** What a state directory knows of the trail at `path`, for checking it. @throws {TunnelError} */
export async function readAuditState(stateDir: string, path: string | undefined) {
  const key = await readStateKey(stateDir, STATE_FILES);
  const read = await readHead(stateDir, STATE_FILES);
  const known = read === "damaged" ? undefined : read;
  const isOfPath = known !== undefined && known.path === path;
  return {
    key,
    head: isOfPath ? known : undefined,
    /** What was signed last of a trail with another path: this one, perhaps, before it was moved. */
    otherHead: isOfPath ? undefined : known,
    isHeadDamaged: read === "damaged",
  };
}
