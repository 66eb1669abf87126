import assert from "node:assert/strict";
import { test } from "node:test";

import { type LogFields, type Logger, silentLogger } from "../../../src/log.ts";
import { UpstreamCredential } from "../../../src/rift/upstream_credential.ts";
import { Secret } from "../../../src/runtime/secret.ts";

test("The credential for an upstream goes only with requests whose sender the edge knows", () => {
  const credential = new UpstreamCredential(new Secret("Bearer own"), silentLogger);

  assert.equal(credential.for({ known: "user" })?.reveal(), "Bearer own");
  assert.equal(credential.for({ known: "edge" })?.reveal(), "Bearer own");
  // As from an edge that does not have the field.
  assert.equal(credential.for({}), undefined);
  assert.equal(credential.for({ known: undefined }), undefined);
});

test("That the credential is not used is a warning, once, which says what to do and no secret", () => {
  const warnings: { readonly message: string; readonly fields: LogFields | undefined }[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (message, fields) => void warnings.push({ message, fields }),
  };
  const credential = new UpstreamCredential(new Secret("Bearer own"), log);

  for (let times = 0; times < 3; times++) credential.for({});

  assert.equal(warnings.length, 1);
  assert.match(String(warnings[0]!.fields?.["mend"]), /auth = "edge"/);
  assert.doesNotMatch(JSON.stringify(warnings), /Bearer own/);
});
