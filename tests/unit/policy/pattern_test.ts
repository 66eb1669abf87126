import assert from "node:assert/strict";
import { test } from "node:test";

import { compileMatcher, foldName, type Reading, Text } from "../../../src/policy/pattern.ts";
import { type PatternLanguage, patternProblem } from "../../../src/policy/pattern_problem.ts";

const NAMES: readonly [pattern: string, matching: string[], other: string[]][] = [
  ["read_file", ["read_file"], ["Read_file", "read_file2", "xread_file", ""]],
  ["read_*", ["read_file", "read_"], ["read", "read_a/b", "xread_a"]],
  ["*_file", ["read_file", "_file"], ["read_file2", "a/read_file"]],
  ["*", ["a", "a.b", ".hidden"], ["", "admin/delete"]],
  ["**", ["a", "admin/delete", "a/b/c"], []],
  ["admin/*", ["admin/delete"], ["admin", "admin/", "admin/a/b", "admins/a"]],
  ["admin/**", ["admin/delete", "admin/a/b", "admin", "admin/"], ["admins", "x/admin/a"]],
  ["**/delete", ["delete", "admin/delete", "a/b/delete"], ["adelete", "admin/delete/x"]],
  ["a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/bz", "az", "a/b/zz"]],
  ["a/**/b/**/c", ["a/b/c", "a/x/b/y/z/c"], ["a/c", "a/b/b"]],
  ["db?", ["db1", "dbé", "db😀"], ["db", "db12", "db/"]],
  ["?b", ["ab", "😀b"], ["b", "aab"]],
  ["[a-c]1", ["a1", "c1"], ["d1", "A1", "ab1"]],
  ["[*?{(]", ["*", "?", "{", "("], ["a", "[*?{(]"]],
  ["{get,list}_*", ["get_x", "list_"], ["set_x", "getlist_x"]],
  ["a{b/c,d}e", ["ab/ce", "ade"], ["abe", "ab/c"]],
  ["*a*b*c", ["abc", "xaxbxc", "aabbcc", "abcabc"], ["acb", "abcx", "a/b/c"]],
  ["*ab*ab", ["abab", "xabxab"], ["ab", "aba"]],
  ["über_*", ["über_x"], ["uber_x", "ÜBER_x"]],
];

for (const [pattern, matching, other] of NAMES) {
  test(`the name pattern ${JSON.stringify(pattern)} matches what it says`, () => {
    assert.equal(patternProblem(pattern, "name"), undefined);
    const matches = matcher(pattern, "name", "allow");

    for (const name of matching) assert.equal(matches(name), true, name);
    for (const name of other) assert.equal(matches(name), false, name);
  });
}

test("a deny pattern that ends in a star matches deeper, an allow pattern does not", () => {
  const cases: [pattern: string, name: string][] = [
    ["*", "admin/delete"],
    ["admin/*", "admin/a/b"],
    ["admin/*", "admin"],
    ["exec*", "exec/a"],
    ["{a,b}/*", "b/c/d"],
  ];

  for (const [pattern, name] of cases) {
    assert.equal(matcher(pattern, "name", "deny")(name), true, `${pattern} ${name}`);
    assert.equal(matcher(pattern, "name", "allow")(name), false, `${pattern} ${name}`);
  }
  assert.equal(matcher("*/a", "name", "deny")("x/y/a"), false);
});

test("no wildcard of an allow pattern covers a dot segment, those of a deny pattern do", () => {
  for (
    const [pattern, name] of [["a/**", "a/../b"], ["a/*/b", "a/../b"], ["a/?", "a/."]] as const
  ) {
    assert.equal(matcher(pattern, "name", "allow")(name), false, pattern);
    assert.equal(matcher(pattern, "name", "deny")(name), true, pattern);
  }
});

test("a star in a pattern of users crosses every character", () => {
  assert.equal(matcher("*", "subject", "allow")("spiffe://host/a"), true);
  assert.equal(matcher("auth0|*", "subject", "allow")("auth0|1/2"), true);
  assert.equal(matcher("**", "subject", "allow")("a/b"), true);
  assert.equal(matcher("team-*", "subject", "allow")("Team-a"), false);
});

test("a folded name is what a careless reader takes it for", () => {
  const same: [string, string][] = [
    ["EXEC", "exec"],
    ["ｅｘｅｃ", "exec"],
    ["exec\u200b", "exec"],
    ["Straße", "STRASSE"],
    ["paramſ", "params"],
    ["ΟΔΟΣ", "οδος"],
    ["\u212aill", "kill"],
    ["cafe\u0301", "CAFÉ"],
  ];

  for (const [a, b] of same) assert.equal(foldName(a), foldName(b), a);
  assert.notEqual(foldName("exec"), foldName("exe"));
});

const MALFORMED: readonly [language: PatternLanguage, pattern: string, problem: RegExp][] = [
  ["name", "", /empty/],
  ["name", "exec[ute", /\[ \] do not pair/],
  ["name", "exec]ute", /\[ \] do not pair/],
  ["name", "[]", /are empty/],
  ["name", "[!a]", /negates/],
  ["name", "[^a]", /negates/],
  ["name", "[z-a]", /backwards/],
  ["name", "[a/b]", /"\/" between/],
  ["name", "[[:alpha:]]", /do not pair|named class/],
  ["name", "[:alpha:]", /named class/],
  ["name", "{a", /\{ \} do not pair/],
  ["name", "a}", /\{ \} do not pair/],
  ["name", "{a}", /fewer than two/],
  ["name", "{a,}", /empty one/],
  ["name", "{a,{b,c}}", /nested/],
  ["name", "{1..3}", /fewer than two|ranges/],
  ["name", "{1..3,5}", /ranges/],
  ["name", "a,b", /"," belongs/],
  ["name", "!a", /starts with "!"/],
  ["name", "@(a|b)", /extended glob/],
  ["name", "+(a)", /extended glob/],
  ["name", "(a|b)", /no meaning/],
  ["name", "^a$", /no meaning/],
  ["name", "a\\*", /backslash/],
  ["name", "a\u0000", /control character/],
  ["name", "a\nb", /control character/],
  ["name", "a\ud800", /surrogate/],
  ["name", "a**", /"\*\*" stands/],
  ["name", "**a", /"\*\*" stands/],
  ["name", "***", /"\*\*" stands/],
  ["name", "a/{**x,b}", /"\*\*" stands/],
  ["name", "*a".repeat(17), /17 "\*"/],
  ["name", "{a,b}".repeat(7), /128 alternatives/],
  ["name", `${"x".repeat(60)}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}`, /written out/],
  ["name", "a".repeat(513), /513 characters/],
  ["uri", "FILE:///a", /scheme has capitals/],
  ["uri", "https://Host/a", /host has capitals/],
  ["uri", "file:/etc/*", /lacks slashes/],
  ["uri", "file://etc/*", /names a host/],
  ["uri", "file://localhost/etc/*", /names a host/],
  ["uri", "file:///a/../b", /segment/],
  ["uri", "file:///a/./*", /segment/],
  ["uri", "file:///%2", /percent-encoding/],
  ["uri", "file:///%ff", /percent-encoding/],
  ["uri", "file:///%2525", /always denied/],
  ["uri", "file:///a%00", /always denied/],
  ["uri", "file:///a\\b", /backslash/],
  ["uri", "file:///a|b", /no meaning/],
  ["subject", "\\*", /backslash/],
  ["subject", "[a", /do not pair/],
  ["tunnel", "Code", /not allowed/],
  ["tunnel", "a/b", /not allowed/],
  ["tunnel", "a*b**[", /do not pair/],
];

test("every malformed pattern is refused with its reason and a hint", () => {
  let refused = 0;
  for (const [language, pattern, problem] of MALFORMED) {
    assert.match(patternProblem(pattern, language) ?? "accepted", problem, pattern);
    refused++;
  }
  assert.equal(refused, 53);
});

test("what real names, users and URIs are made of is accepted", () => {
  const accepted: [PatternLanguage, string[]][] = [
    ["name", ["a.b-c_D", "a/b", "Hello world", "fetch:url", "a@b", "**/x", "[(]x", "日本"]],
    ["subject", ["alice@example.com", "auth0|12", "CN=a, O=b", "DOMAIN\\bob", "a b", "*"]],
    ["uri", ["file:///**", "https://h:80/a?[?]q=1", "urn:x:(a)", "**/.env", "file:///my%20docs/*"]],
    ["uri", ["**", "x://h/{a,b}/$c", "file:///a//b", "*://h/**", "https://a/b,c"]],
    ["tunnel", ["code-server", "team-*", "{a,b}-1", "*"]],
  ];
  let count = 0;

  for (const [language, patterns] of accepted) {
    for (const pattern of patterns) {
      assert.equal(patternProblem(pattern, language), undefined, pattern);
      count++;
    }
  }
  assert.equal(count, 28);
});

test("time grows with the length of the target, not with a power of it", () => {
  const pattern = `${"*a".repeat(15)}[b]${"a".repeat(400)}[c]*`;
  assert.equal(patternProblem(pattern, "name"), undefined);
  const matches = matcher(pattern, "name", "allow");
  const timeOf = (chars: number) => {
    const name = "a".repeat(chars);
    const startedAt = performance.now();
    for (let round = 0; round < 20; round++) assert.equal(matches(name), false);
    return (performance.now() - startedAt) / 20;
  };
  timeOf(500);

  // A few milliseconds at most; the bound only has to tell that from a power of sixteen.
  assert.ok(timeOf(4_096) < 500);
});

function matcher(pattern: string, language: PatternLanguage, reading: Reading) {
  const matches = compileMatcher(pattern, { language, reading, form: "written" });
  return (text: string) => matches(new Text(text));
}
