/** Why a file of the trail cannot be written, in words and with what a person must do about it. @module */

/** The reason, as it stands behind `Cannot write to "…": `. */
export function writeReason(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const known = REASONS[code];
  if (known !== undefined) return known;
  return (error instanceof Error ? error.message : String(error)).replace(/^Cannot [^:]*: /, "");
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the disk (make room there)",
  EDQUOT: "the disk quota is used up (make room there)",
  EROFS: "the disk is read-only (name another audit.file)",
  EACCES: "permission denied (give the folder to the user of the edge, or name another audit.file)",
  EPERM: "permission denied (give the folder to the user of the edge, or name another audit.file)",
  EIO: "the disk fails (EIO)",
  EFBIG: "the file is larger than this user may make one",
  ENOENT: "its folder is gone",
  ENOTDIR: "a part of the path is no folder (name another audit.file)",
  EISDIR: "it is a folder (name a file in it)",
  ENAMETOOLONG: "the name is too long (name another audit.file)",
};
