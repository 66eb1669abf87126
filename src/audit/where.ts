/**
 * `--where`: a condition over the members of a record, such as
 * `duration_ms > 500 and not (user = alice or name ~ "read_*")`.
 *
 * ```
 * or         = and ("or" and)*
 * and        = not ("and" not)*
 * not        = "not" not | "(" or ")" | comparison
 * comparison = FIELD | FIELD OPERATOR VALUE
 * ```
 *
 * It is checked whole before the first record is read: an unknown field, or a comparison that
 * makes no sense for it, or a word that it never holds, is a mistake and not a condition that nothing
 * meets. There are no regular
 * expressions; the time of a test is bounded by the expression times the record.
 *
 * @module
 */

import { MAX_WHERE_CHARS, MAX_WHERE_DEPTH } from "../limits.ts";
import { compileMatcher, isExact, Text } from "../policy/pattern.ts";
import { patternProblem } from "../policy/pattern_problem.ts";
import { FIELD_KINDS, type FieldKind, type RecordField, type SeenRecord } from "./read_record.ts";
import { RECORD_WORDS } from "./record.ts";
import { type Token, tokensOf, type WhereProblem } from "./where_token.ts";

/** An expression that may be asked. */
export interface Where {
  readonly test: (record: SeenRecord) => boolean;
  /** The fields it names. */
  readonly fields: ReadonlySet<RecordField>;
}

/** What {@link parseWhere} needs to know. */
export interface WhereContext {
  /** Reads an instant as `--since` does: ms since 1970. */
  readonly instant: (text: string) => number | undefined;
  /** The known word that was probably meant. */
  readonly nearest: (word: string, known: readonly string[]) => string | undefined;
}

/** Compiles an expression, or says what is wrong with it. */
export function parseWhere(expression: string, context: WhereContext): Where | WhereProblem {
  if (expression.length > MAX_WHERE_CHARS) {
    return {
      column: MAX_WHERE_CHARS + 1,
      problem: `it is longer than ${MAX_WHERE_CHARS} characters`,
    };
  }
  const tokens = tokensOf(expression);
  if (!Array.isArray(tokens)) return tokens;
  try {
    return new Parser(tokens, context).parse();
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    const { column, message: problem } = error;
    return { column, problem };
  }
}

type Test = (record: SeenRecord) => boolean;
type Operator = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~";

class Mistake extends Error {
  readonly column: number;

  constructor(column: number, problem: string) {
    super(problem);
    this.column = column;
  }
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #context: WhereContext;
  readonly #fields = new Set<RecordField>();
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly Token[], context: WhereContext) {
    this.#tokens = tokens;
    this.#context = context;
  }

  parse(): Where {
    const test = this.#or();
    const rest = this.#next();
    if (rest.kind === "close") throw new Mistake(rest.column, 'this ")" has no "("');
    if (rest.kind !== "end") {
      throw new Mistake(rest.column, `expected "and", "or" or the end, not ${shown(rest)}`);
    }
    return { test, fields: this.#fields };
  }

  #or(): Test {
    const tests = [this.#and()];
    while (this.#takeWord("or")) tests.push(this.#and());
    return tests.length === 1 ? tests[0]! : (record) => tests.some((test) => test(record));
  }

  #and(): Test {
    const tests = [this.#not()];
    while (this.#takeWord("and")) tests.push(this.#not());
    return tests.length === 1 ? tests[0]! : (record) => tests.every((test) => test(record));
  }

  #not(): Test {
    const { column } = this.#peek();
    if (++this.#depth > MAX_WHERE_DEPTH) {
      throw new Mistake(column, `more than ${MAX_WHERE_DEPTH} levels of "(" and "not"`);
    }
    try {
      if (this.#takeWord("not")) {
        const test = this.#not();
        return (record) => !test(record);
      }
      if (this.#peek().kind !== "open") return this.#comparison();
      this.#next();
      const test = this.#or();
      const end = this.#next();
      if (end.kind !== "close") {
        throw new Mistake(end.column, `expected ")" for the "(" at column ${column}`);
      }
      return test;
    } finally {
      this.#depth--;
    }
  }

  #comparison(): Test {
    const field = this.#field();
    if (this.#peek().kind !== "operator") return (record) => record[field] !== undefined;
    const operator = this.#next();
    // Proof of the cast: the tokenizer knows these, and "==" besides.
    const word = (operator.text === "==" ? "=" : operator.text) as Operator;
    const kind: FieldKind = FIELD_KINDS[field];
    if (!OPERATORS[kind].includes(word)) {
      throw new Mistake(
        operator.column,
        `${word} says nothing about "${field}" (it takes ${OPERATORS[kind].join(" ")})`,
      );
    }
    const value = this.#next();
    if (value.kind !== "word" && value.kind !== "text") {
      throw new Mistake(
        value.column,
        `expected a value after ${operator.text}, not ${shown(value)}`,
      );
    }
    return compare({ field, kind, operator: word, value, context: this.#context });
  }

  #field(): RecordField {
    const token = this.#next();
    if (token.kind !== "word" || KEYWORDS.has(token.text.toLowerCase())) {
      throw new Mistake(token.column, `expected a field, not ${shown(token)}`);
    }
    if (!Object.hasOwn(FIELD_KINDS, token.text)) {
      const near = this.#context.nearest(token.text, Object.keys(FIELD_KINDS));
      const hint = near === undefined ? "docs/audit.md lists them" : `did you mean "${near}"?`;
      throw new Mistake(token.column, `${shown(token)} is no field of a record (${hint})`);
    }
    // Proof of the cast: the line above.
    const field = token.text as RecordField;
    this.#fields.add(field);
    return field;
  }

  #takeWord(word: string): boolean {
    const { kind, text } = this.#peek();
    if (kind !== "word" || text.toLowerCase() !== word) return false;
    this.#at++;
    return true;
  }

  #peek(): Token {
    return this.#tokens[this.#at]!;
  }

  /** The end stays. */
  #next(): Token {
    const token = this.#peek();
    if (token.kind !== "end") this.#at++;
    return token;
  }
}

interface Comparison {
  readonly field: RecordField;
  readonly kind: FieldKind;
  readonly operator: Operator;
  readonly value: Token;
  readonly context: WhereContext;
}

function compare(comparison: Comparison): Test {
  const { field, operator } = comparison;
  // "!=" is "not =": true as well where there is no such member.
  if (operator === "!=" || operator === "!~") {
    const positive = compare({ ...comparison, operator: operator === "!=" ? "=" : "~" });
    return (record) => !positive(record);
  }
  switch (comparison.kind) {
    case "number":
    case "time": {
      const wanted = comparison.kind === "time" ? instantOf(comparison) : numberOf(comparison);
      const holds = ORDER[operator as keyof typeof ORDER];
      return (record) => {
        const value = record[field];
        return typeof value === "number" && holds(value, wanted);
      };
    }
    case "text":
    case "texts": {
      const matches = textTest(comparison);
      return (record) => {
        const value: unknown = record[field];
        if (typeof value === "string") return matches(value);
        return Array.isArray(value) && value.some(matches);
      };
    }
    case "calls":
    case "json": {
      const matches = textTest(comparison);
      return (record) => {
        const value: unknown = record[field];
        return value !== undefined && matches(JSON.stringify(value));
      };
    }
  }
}

/** The same, or with `~`: matches the glob, or holds the text when it has no wildcard. */
function textTest(
  { field, operator, value: { text, column } }: Comparison,
): (value: string) => boolean {
  if (operator === "=") {
    const known = WORDS[field];
    if (known !== undefined && !known.includes(text)) {
      throw new Mistake(
        column,
        `"${field}" is never ${JSON.stringify(text)} (it is one of: ${known.join(", ")})`,
      );
    }
    return (value) => value === text;
  }
  if (isExact(text)) return (value) => value.includes(text);
  const problem = patternProblem(text, "subject");
  if (problem !== undefined) {
    throw new Mistake(column, `${JSON.stringify(text)} is not a pattern: ${problem}`);
  }
  const options = { language: "subject", reading: "allow", form: "written" } as const;
  const matches = compileMatcher(text, options);
  return (value) => matches(new Text(value));
}

function numberOf({ field, value }: Comparison): number {
  const match = NUMBER.exec(value.text);
  if (match === null) {
    throw new Mistake(
      value.column,
      `"${field}" is a number, not ${shown(value)} (such as 500, 2s or 1MiB)`,
    );
  }
  return Number(match[1]) * (UNITS[match[2] ?? ""] ?? 1);
}

function instantOf({ field, value, context }: Comparison): number {
  const ms = context.instant(value.text);
  if (ms === undefined) {
    throw new Mistake(
      value.column,
      `"${field}" is a time, not ${shown(value)} (such as 1h or 2026-11-23T10:00)`,
    );
  }
  return ms;
}

function shown({ kind, text }: Token): string {
  return kind === "end" ? "the end" : JSON.stringify(text);
}

const WORDS: Readonly<Partial<Record<RecordField, readonly string[]>>> = RECORD_WORDS;
const KEYWORDS: ReadonlySet<string> = new Set(["and", "or", "not"]);
const OPERATORS: Readonly<Record<FieldKind, readonly Operator[]>> = {
  number: ["=", "!=", "<", "<=", ">", ">="],
  time: ["=", "!=", "<", "<=", ">", ">="],
  text: ["=", "!=", "~", "!~"],
  texts: ["=", "!=", "~", "!~"],
  calls: ["~", "!~"],
  json: ["~", "!~"],
};
const ORDER = {
  "=": (a: number, b: number) => a === b,
  "<": (a: number, b: number) => a < b,
  "<=": (a: number, b: number) => a <= b,
  ">": (a: number, b: number) => a > b,
  ">=": (a: number, b: number) => a >= b,
};
const NUMBER = /^(-?\d{1,15}(?:\.\d{1,9})?)(ms|s|m|h|B|KiB|MiB|GiB)?$/;
/** Durations in ms, sizes in bytes: as the fields are. */
const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  B: 1,
  KiB: 1_024,
  MiB: 1_024 ** 2,
  GiB: 1_024 ** 3,
};
