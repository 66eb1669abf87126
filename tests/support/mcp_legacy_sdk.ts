/**
 * The parts of `@modelcontextprotocol/sdk` 1.x the tests use.
 *
 * Here alone, because Deno needs to be told where the types are: the package's `exports` name
 * declaration files that do not exist (`types.js.d.ts`), which only Node's compiler forgives.
 *
 * @module
 */

export { Client } from "@modelcontextprotocol/sdk/client";
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/client/streamableHttp.d.ts"
export { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
// @ts-types="../../node_modules/@modelcontextprotocol/sdk/dist/esm/types.d.ts"
export {
  ElicitRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
