/** Which addresses count as one sender, for clients and for rifts. Pure. @module */

/**
 * The sender behind an address literal: an IPv4 address is one, and so is each /64 of IPv6, since
 * that is what a single host is given (RFC 6177).
 */
export function addressGroup(host: string): string {
  if (!host.includes(":")) return host;
  const plain = host.toLowerCase().split("%", 1)[0]!;
  const mapped = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/.exec(plain)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = plain.split("::", 2);
  const first = wordsOf(head);
  const last = tail === undefined ? [] : wordsOf(tail);
  const missing = Math.max(0, WORDS - first.length - last.length);
  const words = [...first, ...Array<string>(missing).fill("0"), ...last];
  return `${
    words.slice(0, PREFIX_WORDS).map((word) => word.replace(/^0+(?=.)/, "")).join(":")
  }::/64`;
}

function wordsOf(part: string): string[] {
  if (part === "") return [];
  // An IPv4 tail stands for two words; what they are lies beyond the prefix.
  return part.split(":").flatMap((word) => word.includes(".") ? ["0", "0"] : [word]);
}

const WORDS = 8;
const PREFIX_WORDS = 4;
