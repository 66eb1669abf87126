/**
 * Every method of every revision: who sends it, what a request for it is judged by, and which part
 * of its answer names things. Data; the rules that use it are in `classify.ts` and `filters.ts`.
 *
 * @module
 */

/** Protocol revisions, oldest first. The first four are the legacy era, the last one is modern. */
export const REVISIONS = [
  "2024-11-05",
  "2025-03-26",
  "2025-06-18",
  "2025-11-25",
  "2026-07-28",
] as const;

/** A revision that is judged. */
export type Revision = typeof REVISIONS[number];

/** Modern: no sessions, headers mirror the body. Legacy: everything before 2026-07-28. */
export type Era = "legacy" | "modern";

/** The first modern revision. */
export const MODERN_REVISION = "2026-07-28";
/** What a request without the version header is, says 2025-06-18. */
export const ASSUMED_REVISION = "2025-03-26";

/** What decides about a message: its own key, or the name of its method, or nothing. */
export type JudgedBy =
  /** Nothing to judge: it names nothing, and what its answer names is filtered. */
  | "open"
  /** Its name, with `allow_methods`. */
  | "method"
  /** `params.name`. */
  | "tool"
  | "prompt"
  /** `params.uri`. */
  | "resource"
  /** `params.ref`, a prompt or a resource. */
  | "ref"
  /** `params.notifications`. */
  | "subscriptions"
  /** `params.taskId`. */
  | "task"
  /** Of a server's request: whether its family was left in the client's capabilities. */
  | "family";

/** The list in a result, and the member of an entry that names it. */
export interface ResultList {
  readonly list: "tools" | "resources" | "resourceTemplates" | "prompts" | "contents" | "tasks";
  readonly key: "name" | "uri" | "uriTemplate" | "taskId";
}

/** One method. */
export interface MethodRow {
  readonly name: string;
  readonly kind: "request" | "notification";
  readonly from: "client" | "server" | "both";
  /** Revisions that have it, in the order of `REVISIONS`: `+` yes, `x` as an extension, `-` no. */
  readonly revisions: string;
  readonly judgedBy: JudgedBy;
  /** Must `Mcp-Name` be there in the modern era, and what does it mirror? */
  readonly nameHeader?: "name" | "uri" | "taskId";
  /** The list of its result that is filtered. */
  readonly result?: ResultList;
  /** Family of a server's request. */
  readonly family?: Family;
}

/** What a server may ask of a client; each is a capability of the client. */
export type Family = "sampling" | "elicitation" | "roots";

/** Every family. */
export const FAMILIES: readonly Family[] = ["sampling", "elicitation", "roots"];

const TOOLS: ResultList = { list: "tools", key: "name" };
const RESOURCES: ResultList = { list: "resources", key: "uri" };
const TEMPLATES: ResultList = { list: "resourceTemplates", key: "uriTemplate" };
const PROMPTS: ResultList = { list: "prompts", key: "name" };
const CONTENTS: ResultList = { list: "contents", key: "uri" };
const TASKS: ResultList = { list: "tasks", key: "taskId" };

/** The table. A method that is not in it is unknown and judged by its name. */
export const METHODS: readonly MethodRow[] = [
  // Requests of the client.
  request("initialize", "++++-", "open"),
  request("server/discover", "----+", "open"),
  request("tools/list", "+++++", "open", { result: TOOLS }),
  request("tools/call", "+++++", "tool", { nameHeader: "name" }),
  request("resources/list", "+++++", "open", { result: RESOURCES }),
  request("resources/templates/list", "+++++", "open", { result: TEMPLATES }),
  request("resources/read", "+++++", "resource", { nameHeader: "uri", result: CONTENTS }),
  request("resources/subscribe", "++++-", "resource"),
  request("resources/unsubscribe", "++++-", "resource"),
  request("subscriptions/listen", "----+", "subscriptions"),
  request("prompts/list", "+++++", "open", { result: PROMPTS }),
  request("prompts/get", "+++++", "prompt", { nameHeader: "name" }),
  request("completion/complete", "+++++", "ref"),
  // It changes what the whole server logs, and names nothing: so by its own name.
  request("logging/setLevel", "++++-", "method"),
  request("tasks/update", "----x", "task", { nameHeader: "taskId" }),
  // Both ways: on the client's own tasks, and on the server's.
  { ...request("ping", "++++-", "open"), from: "both" },
  { ...request("tasks/get", "---+x", "task", { nameHeader: "taskId" }), from: "both" },
  { ...request("tasks/cancel", "---+x", "task", { nameHeader: "taskId" }), from: "both" },
  { ...request("tasks/result", "---+-", "task"), from: "both" },
  // Tasks carry no name of a tool, so a list of them cannot be judged by one.
  { ...request("tasks/list", "---+-", "method", { result: TASKS }), from: "both" },
  // Requests of the server.
  serverRequest("sampling/createMessage", "++++-", "sampling"),
  serverRequest("roots/list", "++++-", "roots"),
  serverRequest("elicitation/create", "--++-", "elicitation"),
  // Notifications.
  notification("notifications/initialized", "client", "++++-", "open"),
  notification("notifications/roots/list_changed", "client", "++++-", "open"),
  notification("notifications/cancelled", "both", "+++++", "open"),
  notification("notifications/progress", "both", "+++++", "open"),
  notification("notifications/tasks/status", "both", "---+-", "task"),
  notification("notifications/message", "server", "+++++", "open"),
  notification("notifications/resources/updated", "server", "+++++", "resource"),
  notification("notifications/tools/list_changed", "server", "+++++", "open"),
  notification("notifications/prompts/list_changed", "server", "+++++", "open"),
  notification("notifications/resources/list_changed", "server", "+++++", "open"),
  notification("notifications/subscriptions/acknowledged", "server", "----+", "subscriptions"),
  notification("notifications/tasks", "server", "----x", "task"),
  notification("notifications/elicitation/complete", "server", "---+-", "open"),
];

/** The row of a method; `undefined` when no revision has it. */
export function methodRow(name: string): MethodRow | undefined {
  return ROWS.get(name);
}

/** Does any revision of the era have it? */
export function existsIn(row: MethodRow, era: Era): boolean {
  return era === "modern" ? row.revisions[4] !== "-" : /[+x]/.test(row.revisions.slice(0, 4));
}

/** The era of a revision. */
export function eraOf(revision: Revision): Era {
  return revision === MODERN_REVISION ? "modern" : "legacy";
}

/** Is it a revision that is judged? */
export function isRevision(text: string): text is Revision {
  return (REVISIONS as readonly string[]).includes(text);
}

function request(
  name: string,
  revisions: string,
  judgedBy: JudgedBy,
  more: Partial<MethodRow> = {},
): MethodRow {
  return { name, kind: "request", from: "client", revisions, judgedBy, ...more };
}

function serverRequest(name: string, revisions: string, family: Family): MethodRow {
  return { name, kind: "request", from: "server", revisions, judgedBy: "family", family };
}

function notification(
  name: string,
  from: MethodRow["from"],
  revisions: string,
  judgedBy: JudgedBy,
): MethodRow {
  return { name, kind: "notification", from, revisions, judgedBy };
}

const ROWS: ReadonlyMap<string, MethodRow> = new Map(METHODS.map((row) => [row.name, row]));
