// test-timeout: 120s

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { systemClock } from "../../src/clock.ts";
import { askListener } from "../support/admin_fixture.ts";
import { type CliResult, runCliProcess } from "../support/cli_process.ts";
import { answerJson, ask, readBody, startServer } from "../support/http_probe.ts";
import { endRoles, startRoles } from "../support/role_processes.ts";
import { goodClaims, makeKey, signToken } from "../support/test_issuer.ts";

const AUTHORIZATION_CANARY = "canary-authorization-5d1f";
const QUESTION_CANARY = "canary-question-81c2";
const ANSWER_CANARY = "canary-answer-c40b";
const QUERY_CANARY = "canary-query-7e31aa90";
const ADMIN_CANARY = "mcpa_canary-admin-2b7d";
const UPSTREAM_AUTHORIZATION = "Bearer canary-upstream-authorization-93fe";
/** Where the admin listener is, in either log format. */
const ADMIN_URL = /socket"?[:=][^\n]*?url"?[:=]"?(http:\/\/[^\s",}]+)/;
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

for (const format of FORMATS) {
  test(`nothing that proves who a client or an operator is is printed, format ${format}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "mcptun-secrets-"));
    const key = await makeKey("key-1");
    const issuer = await startServer((_request, response) =>
      answerJson(response, { keys: [key.publicJwk] })
    );
    const upstream = await startServer((request, response) => {
      request.resume();
      // A private server may do the worst: tell the client what it was shown.
      answerJson(response, { ok: request.headers.authorization === UPSTREAM_AUTHORIZATION });
    });
    writeFileSync(join(folder, "upstream.secret"), UPSTREAM_AUTHORIZATION, { mode: 0o600 });
    try {
      const roles = await startRoles({
        folder,
        protocol: "http",
        upstream: upstream.url,
        exposes: "file",
        moreConfig: `auth = "edge"
[[auth.issuer]]
issuer = "${issuer.url}"
jwks_uri = "${issuer.url}/keys"
audiences = ["api://secrets"]
[[rift.expose]]
tunnel = "main"
upstream = "${upstream.url}"
authorization_file = "upstream.secret"
[admin]
listen = "127.0.0.1:0"
[log]
level = "debug"
format = "${format}"`,
      });
      const outputs: CliResult[] = [];
      const run = async (args: readonly string[], stdin?: string): Promise<void> => {
        const options = { cwd: folder, ...(stdin === undefined ? {} : { stdin }) };
        outputs.push(await runCliProcess(args, options));
      };
      const issued = await runCliProcess(["token", "issue", "--user", "alice"], { cwd: folder });
      const userToken = issued.stdout.trim();
      const claims = goodClaims({ clock: systemClock, iss: issuer.url, aud: "api://secrets" });
      const jwt = await signToken(key, claims);
      const expired = await signToken(key, { ...claims, exp: 1_000_000_000 });
      const wrong = `mcpu_${"wrong-canary-".repeat(3)}wrng`;
      const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
      // The edge looks for new tokens now and then.
      while ((await ask(roles.url, bearer(userToken))).status !== 200);
      const served = await ask(roles.url, bearer(jwt));
      const refused = [
        await ask(roles.url, bearer(wrong)),
        await ask(roles.url, bearer(expired)),
        await ask(roles.url, { headers: { authorization: `Basic ${AUTHORIZATION_CANARY}` } }),
        await ask(`${roles.url}?access_token=${QUERY_CANARY}`, bearer(userToken)),
      ];
      const [, edgeAddress = ""] = await roles.edge.stderrMatch(/rifts"?[:=]"?([^"\s,]+)/);
      const [, adminUrl = ""] = await roles.edge.stderrMatch(ADMIN_URL);
      const adminFile = join(folder, "mcptun-state", "admin.token");
      const adminToken = readFileSync(adminFile, "utf8").trim();
      const operator = await askListener({ url: adminUrl }, "/status", bearer(adminToken));
      const stranger = await askListener({ url: adminUrl }, "/status", bearer(ADMIN_CANARY));
      await run(["status"]);
      await run(["status", "--json"]);
      await run(["token", "list"]);
      await run(["token", "list", "--json"]);
      await run(["config", "check"]);
      await run(["doctor", "--url", roles.url, "--token-file", "-"], userToken);
      const rift = ["--rift", "--edge-address", edgeAddress, "--token-file", "-"];
      await run(["doctor", ...rift, "--json"], roles.token);
      await run(["token", "revoke", "--user", "alice"]);
      outputs.push(...await endRoles(roles.rift, roles.edge));

      assert.equal(served.status, 200);
      assert.equal(String(served.body), '{"ok":true}');
      assert.deepEqual(refused.map(({ status }) => status), [401, 401, 401, 400]);
      assert.deepEqual([operator.status, stranger.status], [200, 401]);
      const secrets = [
        ...[userToken, userToken.slice("mcpu_".length), wrong, wrong.slice("mcpu_".length)],
        ...[jwt, jwt.split(".")[1]!, jwt.split(".")[2]!, expired, expired.split(".")[2]!],
        ...[adminToken, adminToken.slice("mcpa_".length), ADMIN_CANARY, QUERY_CANARY],
        ...[UPSTREAM_AUTHORIZATION, UPSTREAM_AUTHORIZATION.slice("Bearer ".length)],
        AUTHORIZATION_CANARY,
        ...tokenSecrets(roles.token),
        ...privateKeysBelow(join(folder, "mcptun-state")).flatMap(pemLines),
      ];
      assert.ok(secrets.every((secret) => secret.length >= 16));
      outputs.push({ code: 0, stdout: String(operator.body), stderr: String(stranger.body) });
      for (const answer of refused) {
        const headers = JSON.stringify(answer.headers);
        outputs.push({ code: 0, stdout: headers, stderr: String(answer.body) });
      }
      for (const [index, { stdout, stderr }] of outputs.entries()) {
        assert.notEqual(stdout + stderr, "");
        // Not assert.doesNotMatch: a failure must not print the secret either.
        const shown = secrets.findIndex((secret) => (stdout + stderr).includes(secret));
        assert.equal(shown, -1, `secret ${shown} of ${secrets.length} is in output ${index}`);
      }
      assert.equal(outputs.length, 15);
      // The events did come, so the search was not through silence.
      assert.match(outputs[9]!.stderr, /Client refused/);
    } finally {
      await upstream.close();
      await issuer.close();
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
