/**
 * Change events for clients of the legacy era.
 *
 * Modern clients hold a `subscriptions/listen` stream that the library feeds from an event bus. Here
 * the same bus feeds the sessions of legacy clients, who use `resources/subscribe`.
 *
 * @module
 */

import type { McpServer, ServerEvent, ServerEventBus } from "@modelcontextprotocol/server";
import { SAMPLE_MAX_SUBSCRIPTIONS } from "../limits.ts";

/** Feeds one session's client from `bus` until the returned function is called. */
export function followChanges(
  server: McpServer,
  bus: ServerEventBus,
  onError: (error: Error) => void,
): () => void {
  const subscribed = new Set<string>();
  server.server.setRequestHandler("resources/subscribe", (request) => {
    if (subscribed.size >= SAMPLE_MAX_SUBSCRIPTIONS && !subscribed.has(request.params.uri)) {
      throw new Error(`Cannot subscribe: limit is ${SAMPLE_MAX_SUBSCRIPTIONS} resources`);
    }
    subscribed.add(request.params.uri);
    return {};
  });
  server.server.setRequestHandler("resources/unsubscribe", (request) => {
    subscribed.delete(request.params.uri);
    return {};
  });

  return bus.subscribe((event) => {
    if (!server.isConnected()) return;
    notify(server, event, subscribed).catch(onError);
  });
}

async function notify(
  server: McpServer,
  event: ServerEvent,
  subscribed: ReadonlySet<string>,
): Promise<void> {
  switch (event.kind) {
    case "resource_updated":
      if (subscribed.has(event.uri)) await server.server.sendResourceUpdated({ uri: event.uri });
      return;
    case "resources_list_changed":
      return await server.server.sendResourceListChanged();
    case "tools_list_changed":
      return await server.server.sendToolListChanged();
    case "prompts_list_changed":
      return await server.server.sendPromptListChanged();
  }
}
