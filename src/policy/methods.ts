/** Methods that are not judged by their own name alone. @module */

/**
 * Methods whose parameters, answers or principal decide: `tools/call` by the tool it
 * names, `tools/list` by what is left of its answer, `tasks/get` by who owns the task. Those of
 * servers are judged by what they name, and by `server_requests`. For them no
 * `allow_methods` is asked; `deny_methods` still forbids them. Every other method is denied unless
 * `allow_methods` names it.
 */
export const ORDINARY_METHODS: ReadonlySet<string> = new Set([
  "initialize",
  "server/discover",
  "ping",
  "tools/list",
  "tools/call",
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "resources/subscribe",
  "resources/unsubscribe",
  "subscriptions/listen",
  "prompts/list",
  "prompts/get",
  "completion/complete",
  "tasks/get",
  "tasks/cancel",
  "tasks/result",
  "tasks/update",
  "notifications/initialized",
  "notifications/roots/list_changed",
  "notifications/cancelled",
  "notifications/progress",
  "notifications/tasks/status",
  // Of servers.
  "sampling/createMessage",
  "roots/list",
  "elicitation/create",
  "notifications/message",
  "notifications/resources/updated",
  "notifications/tools/list_changed",
  "notifications/prompts/list_changed",
  "notifications/resources/list_changed",
  "notifications/subscriptions/acknowledged",
  "notifications/tasks",
  "notifications/elicitation/complete",
]);
