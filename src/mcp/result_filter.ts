/**
 * The filters of a result: its lists, contents, links and completions.
 *
 * @module
 */

import type { CompletionRequest } from "./client_message.ts";
import type { JsonDocument } from "./document.ts";
import { NONE } from "./document.ts";
import { appendMember, removeChildren, replaceValue } from "./edit.ts";
import { FilterRefusal } from "./filter_options.ts";
import type { Findings } from "./filter_options.ts";
import { methodRow } from "./methods.ts";
import type { ResultList } from "./methods.ts";

/** One result to be filtered. */
export interface ResultSource {
  readonly document: JsonDocument;
  /** Node of the result. */
  readonly result: number;
  readonly findings: Findings;
  /** The list that the method which asked has in its result. */
  readonly ownList: ResultList | undefined;
}

/** Adds the edits of one result to the findings; or says why it cannot be judged. */
export function filterResult(source: ResultSource): FilterRefusal | undefined {
  const { document, result, findings } = source;
  if (document.kind(result) !== "object") {
    return new FilterRefusal("result", document.start(result));
  }
  const removedBefore = findings.before - findings.after;
  for (const entry of LISTS) {
    const problem = filterList(source, entry);
    if (problem !== undefined) return problem;
  }
  filterContent(source, document.member(result, "content"));
  filterMessages(source);
  filterCompletion(source);
  const requests = judgeInputRequests(source);
  if (requests !== undefined) return requests;
  const inner = document.member(result, "result");
  if (document.kind(inner) === "object") {
    const problem = filterResult({ ...source, result: inner, ownList: undefined });
    if (problem !== undefined) return problem;
  }
  markPrivate(source, findings.before - findings.after > removedBefore);
  return undefined;
}

/**
 * A shared cache may give a "public" result to anyone; what was filtered for one caller must not
 * be public (2026-07-28, server/utilities/caching).
 */
function markPrivate({ document, result, findings }: ResultSource, filtered: boolean): void {
  const scope = document.member(result, "cacheScope");
  if (scope !== NONE) {
    if (document.string(scope) === "private") return;
    findings.edits.push(replaceValue(document, scope, '"private"'));
  } else if (filtered && findings.options.era === "modern") {
    findings.edits.push(appendMember(document, result, "cacheScope", '"private"'));
  }
}

const LISTS: readonly (ResultList & { readonly kind: "tool" | "resource" | "prompt" | "task" })[] =
  [
    { list: "tools", key: "name", kind: "tool" },
    { list: "resources", key: "uri", kind: "resource" },
    { list: "resourceTemplates", key: "uriTemplate", kind: "resource" },
    { list: "prompts", key: "name", kind: "prompt" },
    { list: "contents", key: "uri", kind: "resource" },
    { list: "tasks", key: "taskId", kind: "task" },
  ];

function filterList(
  { document, result, findings, ownList }: ResultSource,
  { list, key, kind }: typeof LISTS[number],
): FilterRefusal | undefined {
  const node = document.member(result, list);
  if (node === NONE) return undefined;
  if (document.kind(node) !== "array") {
    // Another method's result may use the word for something else.
    const isOther = findings.options.expect !== undefined && ownList?.list !== list;
    return isOther ? undefined : new FilterRefusal("list", document.start(node));
  }
  const removal = removeChildren(document, node, (entry) => {
    // An entry without a name is one that no one can call, and no rule can allow.
    const name = document.string(document.member(entry, key));
    const keeps = name !== undefined && findings.allows(kind, name);
    if (keeps && kind === "tool") filterAppLink(document, entry, findings);
    return keeps;
  });
  findings.before += removal.before;
  findings.after += removal.after;
  findings.add(removal.edits);
  return undefined;
}

/** MCP Apps (SEP-1865): a tool's user interface is a resource of its own. */
function filterAppLink(
  document: JsonDocument,
  tool: number,
  findings: Findings,
): void {
  const meta = document.member(tool, "_meta");
  const linked = document.member(document.member(meta, "ui"), "resourceUri");
  const flat = document.member(meta, "ui/resourceUri");
  const denied = new Set<string>();
  for (const [node, name] of [[linked, "ui"], [flat, "ui/resourceUri"]] as const) {
    if (node === NONE) continue;
    const uri = document.string(node);
    if (uri === undefined || !findings.allows("resource", uri)) denied.add(name);
  }
  if (denied.size === 0) return;
  const { edits } = removeChildren(document, meta, (member) => !denied.has(document.name(member)));
  findings.add(edits);
}

/** Content blocks of a tool's result: embedded resources and links to resources. */
function filterContent(source: ResultSource, content: number): void {
  const { document, findings } = source;
  if (document.kind(content) === "array") {
    const { edits } = removeChildren(document, content, (block) => mayShow(source, block));
    findings.add(edits);
  } else if (document.kind(content) === "object" && !mayShow(source, content)) {
    findings.edits.push(replaceValue(document, content, '{"type":"text","text":""}'));
  }
}

/** Messages of a prompt; one whose only content is denied goes as a whole. */
function filterMessages(source: ResultSource): void {
  const { document, result, findings } = source;
  const messages = document.member(result, "messages");
  if (document.kind(messages) !== "array") return;
  const { edits } = removeChildren(document, messages, (message) => {
    const content = document.member(message, "content");
    if (document.kind(content) === "object") return mayShow(source, content);
    filterContent(source, content);
    return true;
  });
  findings.add(edits);
}

function mayShow({ document, findings }: ResultSource, block: number): boolean {
  // By shape, whatever its type says: a client may look at either.
  const uris: number[] = [];
  const link = document.member(block, "uri");
  if (link !== NONE) uris.push(link);
  const embedded = document.member(block, "resource");
  if (embedded !== NONE) uris.push(document.member(embedded, "uri"));
  const type = document.string(document.member(block, "type"));
  if (uris.length === 0) return type !== "resource" && type !== "resource_link";
  return uris.every((node) => {
    const uri = document.string(node);
    return uri !== undefined && findings.allows("resource", uri);
  });
}

/** Completion values of a resource template can name resources: those that lead to a denied one go. */
function filterCompletion({ document, result, findings }: ResultSource): void {
  const completion = document.member(result, "completion");
  const values = document.member(completion, "values");
  if (values === NONE) return;
  const asked = findings.options.completion;
  if (asked?.ref.kind === "prompt") return;
  if (document.kind(values) !== "array") {
    findings.edits.push(replaceValue(document, values, "[]"));
    return;
  }
  const removal = removeChildren(document, values, (element) => {
    const value = document.string(element);
    if (asked === undefined || value === undefined) return false;
    return completedUris(asked, value).every((uri) =>
      uri !== undefined && findings.allows("resource", uri)
    );
  });
  findings.before += removal.before;
  findings.after += removal.after;
  if (removal.edits.length === 0) return;
  findings.add(removal.edits);
  // How many there are in all is not for this caller.
  const { edits } = removeChildren(
    document,
    completion,
    (member) => document.name(member) !== "total",
  );
  findings.add(edits);
}

/**
 * The URIs that a completed template may stand for: with the value as it is, and percent-encoded.
 * `undefined` when a variable is not known, or an expression is more than a plain one (RFC 6570),
 * or the value is for none of them: nobody can say what it stands for then.
 */
function completedUris(
  { ref, argument, values }: CompletionRequest,
  value: string,
): (string | undefined)[] {
  const expand = (encode: (text: string) => string): string | undefined => {
    let isKnown = true;
    let isUsed = false;
    const uri = ref.name.replace(/\{([^{}]*)\}/g, (_, expression: string) => {
      const name = expression.startsWith("+") ? expression.slice(1) : expression;
      const text = name === argument ? value : values.get(name);
      if (text === undefined) isKnown = false;
      if (name === argument) isUsed = true;
      return encode(text ?? "");
    });
    return isKnown && isUsed ? uri : undefined;
  };
  return [expand((text) => text), expand(encodeLoosely)];
}

/** `encodeURIComponent`, but a lone surrogate does not throw. */
function encodeLoosely(text: string): string {
  return encodeURIComponent(text.replace(/[\ud800-\udfff]/gu, "\ufffd"));
}

/** What a modern server asks of the client inside of a result: only families that were offered. */
function judgeInputRequests(
  { document, result, findings }: ResultSource,
): FilterRefusal | undefined {
  const requests = document.member(result, "inputRequests");
  const kind = document.kind(requests);
  if (kind !== undefined && kind !== "object" && kind !== "null") {
    return new FilterRefusal("input_requests", document.start(requests));
  }
  if (requests === NONE) return undefined;
  const { families } = findings.options;
  for (const request of document.children(requests)) {
    const method = document.string(document.member(request, "method"));
    const row = method === undefined ? undefined : methodRow(method);
    // A method of the protocol that is no server's request is none here either.
    const mayBe = row === undefined ||
      (row.family !== undefined && families.includes(row.family));
    if (method === undefined || !mayBe || !findings.allows("method", method)) {
      return new FilterRefusal("family", document.start(request));
    }
  }
  return undefined;
}
