/** Finds the JSON-RPC answer in the body of an HTTP answer: plain JSON, or an event stream. @module */

/** A JSON-RPC response. */
export interface RpcResponse {
  readonly result: Readonly<Record<string, unknown>> | undefined;
  readonly error: RpcError | undefined;
}

/** A JSON-RPC error, as far as it has the form of one. */
export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data: unknown;
}

/** The response in a JSON body; an error may come without an id, a result may not. */
export function responseOfJson(text: string, id: number): RpcResponse | undefined {
  const value = parseJson(text);
  if (!isObject(value) || value["jsonrpc"] !== "2.0") return undefined;
  const { result, error } = value;
  if (isObject(error) && typeof error["code"] === "number") {
    const { message } = error;
    return {
      result: undefined,
      error: {
        code: error["code"],
        message: typeof message === "string" ? message : "",
        data: error["data"],
      },
    };
  }
  if (isObject(result) && value["id"] === id) return { result, error: undefined };
  return undefined;
}

/** The response in an event stream; notifications before it are passed over. */
export function responseOfEvents(text: string, id: number): RpcResponse | undefined {
  const scanner = new EventScanner(id);
  scanner.push(text);
  return scanner.found;
}

/** Reads an event stream piece by piece until the response is there (HTML Standard, 9.2.6). */
export class EventScanner {
  readonly #id: number;
  #line = "";
  #data: string[] = [];
  #found: RpcResponse | undefined;

  constructor(id: number) {
    this.#id = id;
  }

  get found(): RpcResponse | undefined {
    return this.#found;
  }

  push(text: string): "enough" | "more" {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop()!; // split gives one part at least
    for (const line of lines) {
      if (this.#found === undefined) this.#take(line.endsWith("\r") ? line.slice(0, -1) : line);
    }
    return this.#found === undefined ? "more" : "enough";
  }

  #take(line: string): void {
    if (line.startsWith("data:")) this.#data.push(line.slice(5).replace(/^ /, ""));
    if (line !== "") return;
    const data = this.#data.join("\n");
    this.#data = [];
    if (data !== "") this.#found = responseOfJson(data, this.#id);
  }
}

/** The value of a JSON text, or `undefined`. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // whoever asks says what is there instead
  }
}

/** True for JSON objects. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The strings of a JSON array; none when it is not one. */
export function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
