/** The words of a `--where`, with their columns. @module */

/** One word. `column` counts characters from 1. */
export interface Token {
  readonly kind: "word" | "text" | "operator" | "open" | "close" | "end";
  /** Of a `text`, what is between the quotes. */
  readonly text: string;
  readonly column: number;
}

/** What is wrong, and where. */
export interface WhereProblem {
  readonly problem: string;
  /** From 1; one behind the last character when something is missing. */
  readonly column: number;
}

/** Cuts an expression into words; the last one is the end. */
export function tokensOf(expression: string): Token[] | WhereProblem {
  const tokens: Token[] = [];
  let at = 0;
  while (at < expression.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(expression);
    const column = columnOf(expression, at);
    if (match === null) {
      const first = String.fromCodePoint(expression.codePointAt(at)!);
      const quoted = first === '"' || first === "'";
      return {
        column,
        problem: quoted
          ? `the text that begins here has no closing ${first}`
          : `${JSON.stringify(first)} has no meaning here${HINTS[first] ?? ""}`,
      };
    }
    at = TOKEN.lastIndex;
    const { space, open, close, operator, double, single, word } = match.groups!;
    if (space !== undefined) continue;
    if (open !== undefined) tokens.push({ kind: "open", text: open, column });
    else if (close !== undefined) tokens.push({ kind: "close", text: close, column });
    else if (operator !== undefined) tokens.push({ kind: "operator", text: operator, column });
    else if (word !== undefined) tokens.push({ kind: "word", text: word, column });
    else {
      const text = (double ?? single ?? "").replace(/\\(.)/gsu, "$1");
      tokens.push({ kind: "text", text, column });
    }
  }
  tokens.push({ kind: "end", text: "", column: columnOf(expression, expression.length) });
  return tokens;
}

/** Characters, not units: a column is for people. */
function columnOf(text: string, at: number): number {
  return [...text.slice(0, at)].length + 1;
}

/** No two of its branches begin with the same character, so nothing is tried twice. */
const TOKEN = new RegExp(
  [
    String.raw`(?<space>\s+)`,
    String.raw`(?<open>\()`,
    String.raw`(?<close>\))`,
    String.raw`(?<operator>!=|!~|==?|<=?|>=?|~)`,
    String.raw`"(?<double>(?:[^"\\]|\\.)*)"`,
    String.raw`'(?<single>(?:[^'\\]|\\.)*)'`,
    String.raw`(?<word>[^\s()<>=!~"'&|]+)`,
  ].join("|"),
  "suy",
);
const HINTS: Readonly<Record<string, string>> = {
  "&": ' (write "and")',
  "|": ' (write "or")',
  "!": ' (write "not", or != or !~)',
};
