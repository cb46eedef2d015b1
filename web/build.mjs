// Bundles src/ into dist/, the same bytes everywhere: node build.mjs. With --check it compares instead of writing.
import { build } from "esbuild";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { gzipSync } from "node:zlib";

const check = process.argv.includes("--check");
const limit = 17 * 1024; // bytes of godwit.min.js, gzipped

/** One file of declarations: what godwit.ts exports, and what those need, from what tsc wrote for each module. */
function declarations() {
  const exported = new Set(read(".types/godwit.d.ts").match(/\{[^}]*\}/g).flatMap(words));
  exported.delete("type");
  const blocks = new Map(); // name to its declarations
  for (const file of readdirSync(".types").sort()) {
    for (const block of split(read(`.types/${file}`))) {
      const name = /^(?:export )?(?:declare )?(?:class|interface|type|const|function)\*? (\w+)/m.exec(block)?.[1];
      if (name) blocks.set(name, [...(blocks.get(name) ?? []), block]);
    }
  }
  const wanted = [...exported];
  for (const name of wanted) {
    if (!blocks.has(name)) throw new Error(`no declaration of ${name}`);
    for (const word of blocks.get(name).flatMap(words)) {
      if (/^[A-Z]/.test(word) && blocks.has(word) && !wanted.includes(word)) wanted.push(word);
    }
  }
  const text = wanted.flatMap((name) => {
    const how = exported.has(name) ? "export " : "";
    return blocks.get(name).map((b) => b.replace(/^export /m, how));
  });
  return `// Made by build.mjs from src/.\n\n${text.join("\n\n")}\n\nexport {};\n`;
}

/** The declarations in a file of tsc's, each with its comment and without private members. */
function split(text) {
  const blocks = [];
  let lines = [];
  for (const line of text.split("\n")) {
    if (/^    private /.test(line)) {
      // A member's comment stands before it.
      const comment = lines.findLastIndex((l) => /^    \/\*\*/.test(l));
      if (comment >= 0 && /\*\/$/.test(lines.at(-1))) lines.length = comment;
      continue;
    }
    lines.push(line);
    if (!/^(\}|\S.*;)$/.test(line)) continue;
    blocks.push(lines.join("\n"));
    lines = [];
  }
  return blocks;
}

/**
 * The properties that nobody outside sees: those that are neither in our declarations nor anywhere in the declarations
 * of the language and the browser. Their names may be short.
 */
async function internal(types) {
  const everything = await build({ ...options, mangleProps: /^[a-zA-Z]{3,}$/, mangleCache: {}, write: false });
  const known = new Set(words(types));
  for (const file of readdirSync("node_modules/@typescript", { recursive: true })) {
    if (!/lib\.(es|dom)[^/]*\.d\.ts$/.test(file)) continue;
    for (const word of words(read(`node_modules/@typescript/${file}`))) known.add(word);
  }
  return Object.keys(everything.mangleCache).filter((name) => !known.has(name));
}

const words = (text) => text.match(/[A-Za-z]\w*/g) ?? [];
const read = (file) => readFileSync(file, "utf8");

const options = {
  entryPoints: ["src/godwit.ts"],
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  banner: { js: "// @godwit/client. MIT licence. https://github.com/godwit-rtc/godwit" },
};

execFileSync("node_modules/.bin/tsc", ["-p", "."], { stdio: "inherit" });
const types = declarations();
const names = await internal(types);
const plain = await build({ ...options, outfile: "dist/godwit.js", write: false });
const small = await build({
  ...options,
  outfile: "dist/godwit.min.js",
  minify: true,
  sourcemap: "linked",
  mangleProps: new RegExp(`^(${names.join("|")})$`),
  write: false,
});

const files = { "dist/godwit.d.ts": types };
for (const { path, text } of [...plain.outputFiles, ...small.outputFiles]) {
  files[`dist/${path.split("/").pop()}`] = text;
}
const size = gzipSync(files["dist/godwit.min.js"], { level: 9 }).length;
process.stdout.write(`godwit.min.js: ${files["dist/godwit.min.js"].length} bytes, ${size} gzipped, of ${limit}\n`);
let failed = size > limit;
mkdirSync("dist", { recursive: true });
for (const [file, text] of Object.entries(files)) {
  if (!check) writeFileSync(file, text);
  else if (!existsSync(file) || read(file) !== text) {
    process.stderr.write(`${file} is not what src/ makes: run npm run build\n`);
    failed = true;
  }
}
process.exitCode = failed ? 1 : 0;
