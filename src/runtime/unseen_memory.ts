/** Memory of native objects, which the runtimes do not see. @module */

import { Buffer } from "node:buffer";

/**
 * Something to keep beside a native object of about `bytes`, so that the runtime collects garbage
 * before many of them pile up: in a flood of 10,000 handshakes that were given up, memory grew by
 * 160 MB without it and by 40 MB with it (Node 20).
 *
 * Node takes it from the system without touching it, so it is address space and no memory. Deno
 * fills it with zeros, which would cost more than it saves: there it is nothing.
 */
export function weightOf(bytes: number): ArrayBufferView | undefined {
  return "Deno" in globalThis ? undefined : Buffer.allocUnsafeSlow(bytes);
}
