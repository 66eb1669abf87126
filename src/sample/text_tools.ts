/** Tools of the sample server that compute an answer at once. @module */

import { createHash } from "node:crypto";
import type { CallToolResult } from "@modelcontextprotocol/server";
import { SAMPLE_MAX_TEXT_CHARS } from "../limits.ts";
import { objectSchema, type Registrar } from "./schema.ts";

const TEXT = {
  type: "string",
  maxLength: SAMPLE_MAX_TEXT_CHARS,
  description: "The text",
} as const;

const OPERATIONS = {
  add: (left: number, right: number) => left + right,
  subtract: (left: number, right: number) => left - right,
  multiply: (left: number, right: number) => left * right,
  divide: (left: number, right: number) => left / right,
  power: (left: number, right: number) => left ** right,
} as const;

/** The tools `echo`, `calculate`, `text_statistics` and `hash`. */
export function textTools(): Registrar {
  const textSchema = objectSchema<{ text: string }>({ text: TEXT }, ["text"]);
  const calculateSchema = objectSchema<{ operation: keyof typeof OPERATIONS; numbers: number[] }>({
    operation: {
      type: "string",
      enum: Object.keys(OPERATIONS),
      description: "What to do with the numbers",
    },
    numbers: {
      type: "array",
      items: { type: "number" },
      minItems: 2,
      maxItems: 1_000,
      description: "The numbers, in order",
    },
  }, ["operation", "numbers"]);
  const hashSchema = objectSchema<{ text: string; algorithm?: "sha256" | "sha384" | "sha512" }>({
    text: TEXT,
    algorithm: {
      type: "string",
      enum: ["sha256", "sha384", "sha512"],
      description: "The hash function; sha256 when absent",
    },
  }, ["text"]);

  return (server) => {
    server.registerTool("echo", {
      title: "Echo",
      description: "Returns the text it was given.",
      inputSchema: textSchema,
      annotations: { readOnlyHint: true },
    }, ({ text }) => textResult(text));

    server.registerTool("calculate", {
      title: "Calculate",
      description: "Combines numbers from left to right with one operation.",
      inputSchema: calculateSchema,
      annotations: { readOnlyHint: true },
    }, ({ operation, numbers }) => {
      const result = numbers.reduce((left, right) => OPERATIONS[operation](left, right));
      return Number.isFinite(result)
        ? valueResult({ result })
        : toolError(`Cannot ${operation}: the result is not a finite number`);
    });

    server.registerTool("text_statistics", {
      title: "Text statistics",
      description: "Counts the characters, words, lines and UTF-8 bytes of a text.",
      inputSchema: textSchema,
      annotations: { readOnlyHint: true },
    }, ({ text }) =>
      valueResult({
        characters: [...text].length,
        words: text.match(/\S+/gu)?.length ?? 0,
        lines: text === "" ? 0 : text.split("\n").length,
        bytes: Buffer.byteLength(text),
      }));

    server.registerTool(
      "hash",
      {
        title: "Hash",
        description: "Computes the SHA-2 hash of a text, in hexadecimal.",
        inputSchema: hashSchema,
        annotations: { readOnlyHint: true },
      },
      ({ text, algorithm = "sha256" }) =>
        textResult(createHash(algorithm).update(text).digest("hex")),
    );
  };
}

/** A result with one text. */
export function textResult(text: string): CallToolResult {
  return { content: [{ type: "text", text }] };
}

/** A result with a value, also as text for clients that read no structured content. */
export function valueResult(value: Record<string, unknown>): CallToolResult {
  return { ...textResult(JSON.stringify(value)), structuredContent: value };
}

/** A result that tells the model what it did wrong. */
export function toolError(message: string): CallToolResult {
  return { ...textResult(message), isError: true };
}
