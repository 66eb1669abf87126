/** The small request and its answer, the same bytes for every leg. @module */

/** Size of the small request body, bytes: 0.3 KiB. */
export const REQUEST_BYTES = 307;
/** Size of the small answer body, bytes: 1 KiB. */
export const ANSWER_BYTES = 1_024;

/** A `tools/call` request of exactly {@link REQUEST_BYTES} bytes. */
export const requestBody = padded(REQUEST_BYTES, (text) => ({
  jsonrpc: "2.0",
  id: 1,
  method: "tools/call",
  params: { name: "search", arguments: { query: text } },
}));

/** A tool result of exactly {@link ANSWER_BYTES} bytes. */
export const answerBody = padded(ANSWER_BYTES, (text) => ({
  jsonrpc: "2.0",
  id: 1,
  result: { content: [{ type: "text", text }], isError: false },
}));

/** Headers an MCP client sends with such a request. */
export const requestHeaders = {
  "content-type": "application/json",
  "accept": "application/json, text/event-stream",
  "mcp-protocol-version": "2025-11-25",
};

function padded(bytes, make) {
  const missing = bytes - JSON.stringify(make("")).length;
  return JSON.stringify(make("the quick brown fox jumps ".repeat(50).slice(0, missing)));
}
