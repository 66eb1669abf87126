/** A string that does not print. @module */

const REDACTED = "[redacted]";

/**
 * Holds a token or key so that no log, error, template string or JSON shows it. The value is in a
 * private field, so `Object.keys`, spread and structured clone do not see it either.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value. Call it where the value is used, and hand nothing but the `Secret` around. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  /** For `util.inspect` and `console.log` on Node. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return REDACTED;
  }

  /** For `Deno.inspect` and `console.log` on Deno. */
  [Symbol.for("Deno.customInspect")](): string {
    return REDACTED;
  }
}
