/** Facts of the product from `package.json`, the only place that holds them. @module */

import { readFileSync } from "node:fs";

/** What the commands say about the product. */
export interface Product {
  readonly version: string;
  /** Where to report a bug. */
  readonly bugs: string;
}

/** Reads the facts; the folder depth differs between the sources and the built files. */
export function readProduct(): Product {
  for (const path of ["../../package.json", "../../../package.json"]) {
    const facts = readManifest(new URL(path, import.meta.url));
    if (facts?.name === "mcptun" && facts.version !== undefined) {
      return {
        version: facts.version,
        bugs: facts.bugs?.url ?? "the maintainers, see CONTRIBUTING.md",
      };
    }
  }
  throw new Error("Cannot find the package.json of mcptun beside the program");
}

interface Manifest {
  readonly name?: string;
  readonly version?: string;
  readonly bugs?: { readonly url?: string };
}

function readManifest(url: URL): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(url, "utf8")) as Manifest; // fields are checked by the caller
  } catch {
    // One of the two layouts never has the file; the caller complains when both lack it.
    return undefined;
  }
}
