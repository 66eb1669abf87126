/**
 * Fetches a JSON document of an issuer: no redirects, a bound on time and size.
 *
 * @module
 */

import { Buffer } from "node:buffer";

import type { Clock } from "../clock.ts";
import { ISSUER_FETCH_MS, MAX_ISSUER_DOCUMENT_BYTES } from "../limits.ts";

/** The part of the global `fetch` that is used. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** How to fetch. */
export interface FetchContext {
  readonly fetch: Fetch;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A document that could not be had. The message is for the log: no query, no content. */
class DocumentError extends Error {
  override readonly name = "DocumentError";
}

const JSON_TYPE = /^application\/(?:[a-z0-9!#$&^_.-]+\+)?json(?:[ ;]|$)/i;

/** Fetches and parses `url`. @throws {DocumentError} */
export async function fetchJson(url: string, context: FetchContext): Promise<unknown> {
  const shown = shownUrl(url);
  const ending = new AbortController();
  const end = (): void => ending.abort();
  const timer = context.clock.setTimer(ISSUER_FETCH_MS, end, "no");
  context.signal.addEventListener("abort", end, { once: true });
  try {
    if (context.signal.aborted) end();
    const text = await Promise.race([read(url, context.fetch, ending.signal), aborted(ending)]);
    return JSON.parse(text);
  } catch (error) {
    if (ending.signal.aborted) {
      const why = context.signal.aborted ? "was given up" : `took over ${ISSUER_FETCH_MS} ms`;
      throw new DocumentError(`Fetching ${shown} ${why}`);
    }
    throw new DocumentError(`Cannot fetch ${shown}: ${causeOf(error)}`);
  } finally {
    timer.cancel();
    context.signal.removeEventListener("abort", end);
    ending.abort(); // a body that was not read to its end is let go
  }
}

/** A URL without its query, which may hold a secret. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return '"[not a URL]"';
  const { origin, pathname } = new URL(url);
  return JSON.stringify(`${origin}${pathname}`);
}

async function read(url: string, fetchIt: Fetch, signal: AbortSignal): Promise<string> {
  const response = await fetchIt(url, {
    // A redirect could lead anywhere, also into the network of the edge.
    redirect: "manual",
    headers: { accept: "application/json, application/jwk-set+json" },
    signal,
  });
  if (response.status !== 200) throw new DocumentError(statusOf(response));
  const type = response.headers.get("content-type") ?? "";
  if (!JSON_TYPE.test(type)) throw new DocumentError("the answer is not application/json");
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const body = response.body as ReadableStream<Uint8Array> | null; // bodies are bytes (Fetch, 2.2.4)
  const reader = body?.getReader();
  for (;;) {
    const { value } = await reader?.read() ?? {};
    if (value === undefined) break;
    bytes += value.length;
    if (bytes > MAX_ISSUER_DOCUMENT_BYTES) {
      throw new DocumentError(`the answer has more than ${MAX_ISSUER_DOCUMENT_BYTES} bytes`);
    }
    chunks.push(value);
  }
  return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
}

function statusOf({ status, type }: Response): string {
  const isRedirect = type === "opaqueredirect" || status >= 300 && status < 400;
  return isRedirect ? "it redirects, which is not followed" : `the answer has status ${status}`;
}

/** Rejects when the time is over, also when `fetch` does not look at its signal. */
function aborted({ signal }: AbortController): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("aborted")), { once: true });
  });
}

function causeOf(error: unknown): string {
  if (error instanceof DocumentError) return error.message;
  // The parser's message would quote the document.
  if (error instanceof SyntaxError) return "the answer is not JSON";
  const { code } = ((error as Error).cause ?? error) as { readonly code?: unknown };
  return typeof code === "string" && /^[A-Z_0-9]{1,40}$/.test(code)
    ? `no answer (${code})`
    : "no answer that can be read";
}
