// test-timeout: 120s

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { answerJson, ask, readBody, startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";

const AUTHORIZATION_CANARY = "canary-authorization-5d1f";
const QUESTION_CANARY = "canary-question-81c2";
const ANSWER_CANARY = "canary-answer-c40b";
const FORMATS = ["text", "json"] as const;

for (const format of FORMATS) {
  test(`nothing secret is printed at level debug, format ${format}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "mcptun-secrets-"));
    const received: string[] = [];
    const upstream = await startServer((request, response) => {
      readBody(request).then((body) => {
        // The rift itself asks first whether anybody is there.
        if (request.method === "POST") {
          received.push(`${request.headers.authorization ?? "none"} ${String(body)}`);
        }
        if (request.url === "/broken") response.destroy();
        else answerJson(response, { text: ANSWER_CANARY });
      }, () => response.destroy());
    });
    try {
      const roles = await startRoles({
        folder,
        protocol: "http",
        upstream: upstream.url,
        moreConfig: `[log]\nlevel = "debug"\nformat = "${format}"`,
        riftFlags: ["--log-level", "debug", "--log-format", format],
      });
      const question = {
        method: "POST",
        headers: { authorization: `Bearer ${AUTHORIZATION_CANARY}` },
        body: QUESTION_CANARY,
      };
      const served = await ask(roles.url, question);
      const broken = await ask(`${roles.url}/broken`, question);
      const refused = await ask(new URL("/nowhere", roles.url).href, question);
      const results = await endRoles(roles.rift, roles.edge);

      assert.equal(served.status, 200);
      assert.match(String(served.body), new RegExp(ANSWER_CANARY));
      assert.equal(broken.status, 502);
      assert.equal(refused.status, 404);
      const questionLine = `Bearer ${AUTHORIZATION_CANARY} ${QUESTION_CANARY}`;
      assert.deepEqual(received, [questionLine, questionLine]);
      const keys = privateKeysBelow(join(folder, "mcptun-state"));
      assert.ok(keys.length >= 2, `${keys.length} private keys in the state directory`);
      const secrets = [
        AUTHORIZATION_CANARY,
        QUESTION_CANARY,
        ANSWER_CANARY,
        ...tokenSecrets(roles.token),
        ...keys.flatMap(pemLines),
        "PRIVATE KEY",
      ];
      for (const { stdout, stderr, code } of results) {
        assert.equal(code, 0);
        assert.notEqual(stderr, "");
        // Not assert.doesNotMatch: a failure must not print the secret either.
        const shown = secrets.findIndex((secret) => (stdout + stderr).includes(secret));
        assert.equal(shown, -1, `secret ${shown} of ${secrets.length} was printed`);
      }
      // The debug events did come, so the search was not through silence.
      assert.match(results[1]!.stderr, /Request refused/);
      assert.match(results[0]!.stderr, /Upstream failed/);
    } finally {
      await upstream.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** The string, what follows its prefix, and the key inside. */
function tokenSecrets(token: string): string[] {
  assert.match(token, /^mcpt_[A-Za-z0-9_-]{200,}$/);
  const encoded = token.slice("mcpt_".length);
  // An object, made by `token issue`.
  const { key } = JSON.parse(String(Buffer.from(encoded, "base64url"))) as { key: string };
  assert.ok(key.length > 40, "the credential holds a key");
  return [token, encoded, encoded.slice(0, 64), key];
}

/** Every PEM private key in the files below `folder`. */
function privateKeysBelow(folder: string): string[] {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile());
  const block = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END/g;
  return files.flatMap((entry) =>
    // JSON files hold line ends as escapes.
    readFileSync(join(entry.parentPath, entry.name), "utf8").replaceAll("\\n", "\n").match(block) ??
      []
  );
}

/** The lines of base64 within a PEM block, long enough to be no coincidence. */
function pemLines(pem: string): string[] {
  const lines = pem.split("\n").filter((line) => /^[A-Za-z0-9+/=]{16,}$/.test(line));
  assert.ok(lines.length >= 2, "a key has lines");
  return lines;
}
