/** What a parsed JSON document is asked first. @module */

/** Is it an object, and no list? */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
