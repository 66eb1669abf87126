/** Input schemas of the sample server's tools and prompts, written as JSON Schema. @module */

import {
  fromJsonSchema,
  type McpServer,
  type StandardSchemaWithJSON,
} from "@modelcontextprotocol/server";

/**
 * Adds tools, resources or prompts to a new server instance.
 *
 * Made once per sample server and called once per modern request: compiling a schema takes about a
 * millisecond, so it must happen before.
 */
export type Registrar = (server: McpServer) => void;

/** The JSON Schema of one argument. */
export type Property =
  & { readonly description: string }
  & (
    | { readonly type: "string"; readonly maxLength: number; readonly minLength?: number }
    | { readonly type: "string"; readonly enum: readonly string[] }
    | { readonly type: "integer"; readonly minimum: number; readonly maximum: number }
    | {
      readonly type: "array";
      readonly items: { readonly type: "number" };
      readonly minItems: number;
      readonly maxItems: number;
    }
  );

/**
 * A schema for an object with these properties and no others.
 *
 * @typeParam T What a valid value is: the caller's proof is `properties`.
 */
export function objectSchema<T extends object>(
  properties: { readonly [K in keyof T]-?: Property },
  required: readonly (keyof T & string)[],
): StandardSchemaWithJSON<T, T> {
  return fromJsonSchema<T>({
    type: "object",
    properties: properties as Record<string, Property>, // the same object, keyed by string
    required: [...required],
    additionalProperties: false,
  });
}
