/** Resources and prompts of the sample server that never change. @module */

import { ResourceNotFoundError, ResourceTemplate } from "@modelcontextprotocol/server";
import { objectSchema, type Registrar } from "./schema.ts";

/** The static text resource. */
export const WELCOME_URI = "sample://welcome";

const GLOSSARY: ReadonlyMap<string, string> = new Map([
  ["edge", "The public end of a tunnel: it serves MCP clients."],
  ["rift", "The private end of a tunnel: it dials the edge and calls the MCP server."],
  ["tunnel", "A named public endpoint, declared on the edge and claimed by a rift."],
  ["exchange", "One HTTP request and its response, carried by one stream."],
  ["upstream", "The private MCP server behind a rift."],
]);

const WELCOME = `# Welcome

You are talking to the sample server of mcptun, through a tunnel if you came by one.

Try the tools \`echo\`, \`calculate\` and \`countdown\`, read \`sample://glossary/edge\`,
or subscribe to \`sample://note\` and call \`write_note\` from another client.
`;

/** The welcome text, the glossary template and two prompts. */
export function guide(): Registrar {
  const explainSchema = objectSchema<{ word: string; audience?: string }>({
    word: { type: "string", maxLength: 64, description: "The word" },
    audience: { type: "string", maxLength: 64, description: "Who it is for" },
  }, ["word"]);

  return (server) => {
    server.registerResource("welcome", WELCOME_URI, {
      title: "Welcome",
      description: "What this server is and what to try first.",
      mimeType: "text/markdown",
    }, () => ({ contents: [{ uri: WELCOME_URI, mimeType: "text/markdown", text: WELCOME }] }));

    const template = new ResourceTemplate("sample://glossary/{word}", {
      list: () => ({
        resources: [...GLOSSARY.keys()].map((word) => ({
          name: word,
          uri: `sample://glossary/${word}`,
          mimeType: "text/plain",
        })),
      }),
      complete: { word: (start) => wordsFrom(start) },
    });
    server.registerResource("glossary", template, {
      title: "Glossary",
      description: "What a word of mcptun means.",
      mimeType: "text/plain",
    }, (uri, { word }) => {
      const text = typeof word === "string" ? GLOSSARY.get(word) : undefined;
      if (text === undefined) throw new ResourceNotFoundError(uri.href);
      return { contents: [{ uri: uri.href, mimeType: "text/plain", text }] };
    });

    server.registerPrompt("tour", {
      title: "Tour",
      description: "Asks the model to try this server out.",
    }, () => userMessage("Show me what this MCP server can do: call two of its tools."));

    server.registerPrompt(
      "explain",
      {
        title: "Explain",
        description: "Asks the model to explain a word of mcptun.",
        argsSchema: explainSchema,
      },
      ({ word, audience = "a developer" }) =>
        userMessage(`Explain "${word}" to ${audience}. ${GLOSSARY.get(word) ?? ""}`.trim()),
    );
  };
}

function wordsFrom(start: string): string[] {
  return [...GLOSSARY.keys()].filter((word) => word.startsWith(start));
}

function userMessage(text: string) {
  return { messages: [{ role: "user" as const, content: { type: "text" as const, text } }] };
}
