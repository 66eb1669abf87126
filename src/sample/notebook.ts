/** The sample server's one piece of state: a note that every client reads, writes and watches. @module */

import type { McpServer, ServerEventBus } from "@modelcontextprotocol/server";
import { SAMPLE_MAX_TEXT_CHARS } from "../limits.ts";
import { objectSchema } from "./schema.ts";
import { textResult } from "./text_tools.ts";

/** The note's address as a resource. */
export const NOTE_URI = "sample://note";

/** The note as a resource that can be subscribed to, and `write_note`, which changes it. */
export function notebook(): (server: McpServer, bus: ServerEventBus) => void {
  const noteSchema = objectSchema<{ text: string }>({
    text: { type: "string", maxLength: SAMPLE_MAX_TEXT_CHARS, description: "The new note" },
  }, ["text"]);
  let note = "Nothing is written here yet.";

  return (server, bus) => {
    server.registerResource("note", NOTE_URI, {
      title: "Note",
      description: "A note shared by all clients. Subscribe to it and call write_note.",
      mimeType: "text/plain",
    }, () => ({ contents: [{ uri: NOTE_URI, mimeType: "text/plain", text: note }] }));

    server.registerTool("write_note", {
      title: "Write note",
      description: "Replaces the shared note; subscribers are told.",
      inputSchema: noteSchema,
      annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
    }, ({ text }) => {
      note = text;
      bus.publish({ kind: "resource_updated", uri: NOTE_URI });
      return textResult(`The note has ${text.length} characters now`);
    });
  };
}
