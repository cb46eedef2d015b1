import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { check } from "./check.mjs";
import { slug, target } from "./links.mjs";
import { pages } from "./pages.mjs";
import { picture } from "./pictures.mjs";

function files(t, texts) {
  const dir = mkdtempSync(join(tmpdir(), "site-"));
  t.after(() => rmSync(dir, { recursive: true }));
  for (const [name, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), text);
  }
  return dir;
}

test("check finds dead links, dead anchors, missing files and other hosts", (t) => {
  const dir = files(t, {
    "index.html": '<a href="/b/a.html#x">1</a><a href="#here">2</a><p id="here"></p><a href="https://example.com/">3</a>',
    "a.html": '<p id="x"></p><a href="./c.html">4</a><a href="#y">5</a><script src="https://example.com/s.js"></script><img src="/b/no.png">',
    "d/index.html": '<a href="../a.html#x">6</a><a href="/b/">7</a><a href="/b/d/">8</a>',
    "s.css": "a{background:url(//example.com/a.png)}",
  });
  assert.deepEqual(check(dir, "/b/").complaints.sort(), [
    "a.html: /b/no.png is missing",
    "a.html: loads https://example.com/s.js",
    "a.html: no anchor for #y",
    "a.html: no page for ./c.html",
    "s.css: loads //example.com/a.png",
  ]);
});

test("a link to a page stays inside, a link to another file goes to the repository", () => {
  assert.equal(target(pages.get("docs/typed.md"), "messages.md#bits"), "./messages.md#bits");
  assert.equal(target(pages.get("docs/typed.md"), "../web/README.md#typed-messages"), "./client.md#typed-messages");
  assert.match(target(pages.get("docs/typed.md"), "../examples/boxes"), /^https:.*\/tree\/main\/examples\/boxes$/);
  assert.match(target(pages.get("docs/typed.md"), "../LICENSE"), /^https:.*\/blob\/main\/LICENSE$/);
  assert.equal(target(pages.get("docs/typed.md"), "https://example.com/"), "https://example.com/");
  assert.equal(target("api/go/index.md", "godwit.md"), "godwit.md");
  assert.throws(() => target(pages.get("docs/typed.md"), "missing.md"), /no file of the repository/);
});

test("anchors are those of GitHub", () => {
  assert.equal(slug("Where UDP does not arrive: a WebSocket"), "where-udp-does-not-arrive-a-websocket");
  assert.equal(slug("Acquire and Release, not Do(func)"), "acquire-and-release-not-dofunc");
  assert.equal(slug("a & b"), "a--b");
});

test("the style of a picture follows the theme of the page", (t) => {
  const style = "text{fill:#000}\n.a,.b{fill:none}\n@media (prefers-color-scheme:dark){\ntext{fill:#fff}\n}\n";
  const dir = files(t, { "p.svg": `<svg><title>T</title><style>${style}</style><path class="a"/></svg>` });
  const { html, css } = picture(join(dir, "p.svg"));
  assert.equal(html, '<svg><path class="a"/></svg>');
  assert.equal(css.replace(/\s*\n\s*/g, "\n").trim(), ".picture-p text{fill:#000}\n.picture-p .a,.picture-p .b{fill:none}\n.dark .picture-p text{fill:#fff}");
});
