/**
 * Which parts of a message the scanner writes down: those that decisions and edits need.
 *
 * A shape is a state of the scanner. Members and elements without a shape of their own are written
 * down as a range, and what is inside of them is checked but not kept.
 *
 * @module
 */

import { NAME_HASH_FACTOR } from "./json_name.ts";
import { reserve } from "./member_names.ts";
import type { ReservedNames } from "./member_names.ts";

/** A member name that the scanner recognizes by its bytes, without decoding it. */
export interface KnownName {
  readonly name: string;
  readonly shape: Shape;
}

/** What is kept of one value. */
export interface Shape {
  /** Known members by the hash of their name; when it is there, every member is kept. */
  readonly members?: ReadonlyMap<number, KnownName>;
  /** The shape of every other member. */
  readonly others?: Shape;
  /** The shape of the elements; when it is there, every element of the array is kept. */
  readonly element?: Shape;
  /** Names that no other member may look like. */
  readonly reserved?: ReservedNames;
}

/** A value of which only the range is kept. */
export const LEAF: Shape = {};

const ENVELOPE_NAMES = ["jsonrpc", "id", "method", "params", "result", "error"];
/** What every member of the protocol's own `_meta` keys begins with. */
const META_PREFIX = "io.modelcontextprotocol/";

const CAPABILITIES = object({
  tasks: object({ requests: object({}) }),
});

const META = object(
  { "io.modelcontextprotocol/clientCapabilities": CAPABILITIES },
  reserve([
    "progressToken",
    "traceparent",
    "tracestate",
    "baggage",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/related-task",
    "io.modelcontextprotocol/subscriptionId",
  ], [META_PREFIX]),
);

const REQUEST_PARAMS = object(
  {
    ref: object({}, reserve(["type", "name", "uri"])),
    notifications: object(
      { resourceSubscriptions: list(LEAF), taskIds: list(LEAF) },
      reserve([
        "toolsListChanged",
        "promptsListChanged",
        "resourcesListChanged",
        "resourceSubscriptions",
        "taskIds",
      ]),
    ),
    argument: object({}, reserve(["name", "value"])),
    context: object({ arguments: object({}) }, reserve(["arguments"])),
    capabilities: CAPABILITIES,
    _meta: META,
  },
  reserve([
    "name",
    "uri",
    "arguments",
    "cursor",
    "ref",
    "argument",
    "context",
    "type",
    "taskId",
    "task",
    "notifications",
    "resourceSubscriptions",
    "taskIds",
    "level",
    "requestId",
    "reason",
    "progressToken",
    "progress",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "inputResponses",
    "requestState",
    "_meta",
  ]),
);

const REQUEST = object({ params: REQUEST_PARAMS }, reserve(ENVELOPE_NAMES));

/** Shape of what a client sends; an array is a batch. */
export const REQUEST_SHAPE: Shape = { ...REQUEST, element: REQUEST };

const BLOCK_NAMES = reserve(["type", "uri", "resource"]);
const BLOCK = object({ resource: object({}, reserve(["uri"])) }, BLOCK_NAMES);
const MESSAGE = object({ content: { ...BLOCK, element: BLOCK } }, reserve(["role", "content"]));
const LIST_RESULT_NAMES = [
  "tools",
  "resources",
  "resourceTemplates",
  "prompts",
  "contents",
  "content",
  "messages",
  "completion",
  "tasks",
  "task",
  "taskId",
  "result",
  "inputRequests",
  "instructions",
  "resultType",
  "cacheScope",
  "nextCursor",
  "_meta",
];
const NAMED = (name: string): Shape =>
  object({ _meta: object({ ui: object({}, reserve(["resourceUri"])) }) }, reserve([name, "_meta"]));
/** What a result may hold, and a task's inner result again, one level down. */
const resultMembers = (inner: Shape): Readonly<Record<string, Shape>> => ({
  tools: list(NAMED("name")),
  resources: list(NAMED("uri")),
  resourceTemplates: list(NAMED("uriTemplate")),
  prompts: list(NAMED("name")),
  contents: list(NAMED("uri")),
  content: list(BLOCK),
  messages: list(MESSAGE),
  completion: object({ values: list(LEAF) }, reserve(["values", "total", "hasMore"])),
  tasks: list(object({}, reserve(["taskId"]))),
  task: object({}, reserve(["taskId"])),
  inputRequests: { ...object({}), others: object({}, reserve(["method", "params"])) },
  result: inner,
});
const INNER_RESULT = object(resultMembers(LEAF), reserve(LIST_RESULT_NAMES));
const RESULT = object(resultMembers(INNER_RESULT), reserve(LIST_RESULT_NAMES));

const NOTICE_PARAMS = object(
  {
    ...resultMembers(INNER_RESULT),
    notifications: object(
      { resourceSubscriptions: list(LEAF), taskIds: list(LEAF) },
      reserve(["resourceSubscriptions", "taskIds"]),
    ),
  },
  reserve(["uri", "taskId", "notifications", "result", "requestId", "_meta"]),
);

const ANSWER = object(
  { result: RESULT, params: NOTICE_PARAMS, error: object({}) },
  reserve(ENVELOPE_NAMES),
);

/** Shape of what a server sends: responses, notifications, and in the legacy era requests. */
export const ANSWER_SHAPE: Shape = { ...ANSWER, element: ANSWER };

/** The hash the scanner makes of a name's bytes; `name` is ASCII. */
export function hashOfName(name: string): number {
  let hash = 0;
  for (let index = 0; index < name.length; index++) {
    hash = (Math.imul(hash, NAME_HASH_FACTOR) + name.charCodeAt(index)) | 0;
  }
  return hash;
}

function object(shapes: Readonly<Record<string, Shape>>, reserved?: ReservedNames): Shape {
  const members = new Map<number, KnownName>();
  for (const name of new Set([...Object.keys(shapes), ...(reserved?.names ?? [])])) {
    const hash = hashOfName(name);
    if (members.has(hash)) throw new TypeError(`Two names share the hash of "${name}"`);
    members.set(hash, { name, shape: shapes[name] ?? LEAF });
  }
  return reserved === undefined ? { members } : { members, reserved };
}

function list(element: Shape): Shape {
  return { element };
}
