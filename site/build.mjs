// Builds the site: copies the pages of the repository to .pages, makes those of the API, runs VitePress, and checks
// the links, anchors and addresses of what it has written.
//
//   node build.mjs            # writes .vitepress/dist
//   node build.mjs --stage    # only writes .pages

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { check } from "./check.mjs";
import { pages } from "./pages.mjs";
import { picture } from "./pictures.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..");
const stage = join(here, ".pages");

function run(dir, program, ...args) {
  execFileSync(program, args, { cwd: dir, stdio: ["ignore", "inherit", "inherit"] });
}

rmSync(stage, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });
cpSync(join(here, "index.md"), join(stage, "index.md"));
for (const [file, page] of pages) {
  mkdirSync(dirname(join(stage, page)), { recursive: true });
  cpSync(join(root, file), join(stage, page));
}
const pictures = svgs(join(root, "docs"));
writeFileSync(join(stage, "pictures.css"), pictures.map((file) => picture(file).css).join(""));

run(root, "go", "run", "./ci/godoc", join(stage, "api/go"), ".", "webtransport", "fleet");
run(here, "node_modules/.bin/typedoc", "--options", "typedoc.json", "--out", join(stage, "api/js"));

const modules = { godwit: "@godwit/client", types: "@godwit/client/types", game: "@godwit/client/game", webtransport: "@godwit/client/webtransport" };
const js = join(stage, "api/js");
for (const name of readdirSync(js)) {
  const text = readFileSync(join(js, name), "utf8");
  writeFileSync(join(js, name), text.replace(/^(# |- \[)godwit(?:\.(\w+))?(?:\.min)?$|^(- \[)godwit(?:\.(\w+))?(?:\.min)?(?=\])/gm, (_, head, a, item, b) => `${head ?? item}${modules[a ?? b ?? "godwit"]}`));
}

if (!process.argv.includes("--stage")) {
  run(here, "node_modules/.bin/vitepress", "build");
  const { complaints, counts } = check(join(here, ".vitepress/dist"), process.env.SITE_BASE ?? "/godwit/");
  for (const c of complaints) console.error(c);
  console.log(`${counts.pages} pages, ${counts.links} links inside, ${counts.anchors} of them to anchors`);
  if (complaints.length > 0) process.exit(1);
}

/** svgs returns the SVG files below a directory. */
function svgs(dir) {
  return readdirSync(dir, { recursive: true })
    .filter((name) => name.endsWith(".svg"))
    .map((name) => join(dir, name));
}
