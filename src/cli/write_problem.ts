/** Why a file that a command was asked for cannot be written, in words. @module */

import { dirname } from "node:path";

/** @param path Absolute. */
export function writeProblem(error: unknown, path: string): string {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  switch (code) {
    case "ENOENT":
      return `there is no folder ${JSON.stringify(dirname(path))} (make it, or name another place)`;
    case "ENOTDIR":
      return `${JSON.stringify(dirname(path))} is not a folder (name another place)`;
    case "EISDIR":
      return "it is a folder (name a file in it)";
    case "EACCES":
    case "EPERM":
      return "permission denied (name another place, or run this as another user)";
    case "EROFS":
      return "the file system is read-only (name another place)";
    default:
      return `${code} (make room or name another place)`;
  }
}
