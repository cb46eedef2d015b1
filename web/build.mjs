// Bundles src/ into dist/, the same bytes everywhere: node build.mjs. With --check it compares instead of writing;
// with --names=60 it looks for 60 seconds for names with which they are smaller.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";
import { search, shortNames, variables } from "./names.mjs";
import { neighbours } from "./shapes.mjs";

const check = process.argv.includes("--check");
// Bytes, gzipped. A quarter of a KiB is the comparison of schemas. 1.5 KiB of them are the other links: the race, its memory, the way back to WebRTC, reliable links, and
// links that a page brings. 1.7 KiB are links without a request: the answer that the page writes, invites, and the start of
// a resume. 0.37 KiB are moves to other servers. One such link, WebTransport, has a file of its own, because few pages need it.
const limits = {
  "dist/godwit.min.js": 20.63 * 1024,
  "dist/godwit.keep.min.js": 22 * 1024,
  "dist/godwit.webtransport.min.js": 0.875 * 1024,
  "dist/godwit.game.min.js": 3 * 1024,
  "dist/godwit.worker.min.js": 1.75 * 1024,
  "dist/godwit.classic.min.js": 23.35 * 1024, // all of the client and typed messages, for pages that cannot load modules
};
// What typed messages add to the client in one bundle, which an npm build makes: less than the file of its own has.
const mostAdded = 1.2 * 1024;

/** One file of declarations: what godwit.ts exports, and what those need, from what tsc wrote for each module. */
function declarations() {
  const exported = new Set((read(".types/core.d.ts") + read(".types/godwit.d.ts")).match(/\{[^}]*\}/g).flatMap(words));
  exported.delete("type");
  const blocks = new Map(); // name to its declarations
  for (const file of readdirSync(".types").sort()) {
    if (typed.includes(file) || game.includes(file)) continue; // they have files of their own
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

const typed = ["pack.d.ts", "typed.d.ts"];
const game = ["clock.d.ts", "prediction.d.ts", "snapshots.d.ts"];

/** The declarations of godwit.game.js, which needs no other file. */
function typesOfGame() {
  const blocks = game.flatMap((file) => split(read(`.types/${file}`)));
  const text = blocks.filter((b) => !/^import |function between\(/m.test(b)).join("\n\n");
  return `// Made by build.mjs from src/.\n\n${text.replace(/^declare const .*\n\n?|^type Pair<.*\n/gm, "")}\n\nexport {};\n`;
}

const exportedFunction = (block) => /^export declare function /m.test(block);

/** The declarations of godwit.types.js, which uses those of godwit.js. */
function typesOfTypes() {
  const blocks = typed
    .flatMap((file) => split(read(`.types/${file}`)))
    .filter((b) => !/^(import|export (type )?\{)|class Typed /m.test(b));
  const text = blocks.join("\n\n");
  const from = ["Bytes", "Channel", "Conn", "ConnectOptions", "Fate", "Hearable", "Sendable", "SendOptions", "Target"];
  const used = from.filter((name) => new RegExp(`\\b${name}\\b`).test(code(text)));
  return `// Made by build.mjs from src/.\n\nimport type { ${used.join(", ")} } from "./godwit.js";\n\n${text}\n`;
}

/** The declarations in a file of tsc's, each with its comment and without private members. */
function split(text) {
  const blocks = [];
  let lines = [];
  for (const line of text.split("\n")) {
    if (/^ {4}private /.test(line)) {
      // A member's comment stands before it.
      const comment = lines.findLastIndex((l) => /^ {4}\/\*\*/.test(l));
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
 * The properties that nobody outside sees: those that are not in our declarations, and either nowhere in those of the
 * language and the browser or in the list below. Their names may be short: returns an object with a short one for each.
 */
async function internal(types) {
  const everything = await build({ ...options, mangleProps: /^[a-zA-Z]+$/, mangleCache: {}, write: false });
  const all = Object.keys(everything.mangleCache);
  // Events are strings; "number" is a type only.
  const known = new Set(words(code(types).replace(/interface \w+EventMap \{[^}]*\}/g, "")));
  known.delete("number");
  const wrong = ours.filter((name) => !all.includes(name) || known.has(name));
  for (const [use, object, name] of plain.outputFiles[0].text.matchAll(/\b(\w+)\.(\w+)/g)) {
    if (object in globalThis && ours.includes(name)) wrong.push(use);
  }
  if (wrong.length) throw new Error(`not names of ours only: ${wrong.join(" ")}`);
  for (const file of readdirSync("node_modules/@typescript", { recursive: true })) {
    if (!/lib\.(es|dom)[^/]*\.d\.ts$/.test(file)) continue;
    for (const word of words(code(read(`node_modules/@typescript/${file}`)))) known.add(word);
  }
  const long = all.filter((name) => name.length > 1 && (!known.has(name) || ours.includes(name)));
  const lone = long.filter((name) => !near.has(name));
  if (lone.length) throw new Error(`shapes.mjs finds no class, type or literal with: ${lone.join(" ")}`);
  const { outputFiles } = await build({ ...options, minify: true, write: false });
  const taken = new Set(all.filter((name) => name.length > 1 && !long.includes(name)));
  return shortNames(long, taken, near, outputFiles[0].text);
}

// What src/ calls its own properties, though some object of the language or the browser has such a property too. Only
// names that src/ uses on nothing but its own objects may stand here.
const ours = words(`
  active advance again age allowed append attach base byte bytes call calls cfg closedBy
  closing config control copy cost count datagram delay detect drop due end ended
  ending events exchange failure finish first flush fragment frames full handlers heard in index init interrupted
  kind largest left limit list listeners loss lost mark measure medium minimum move moves network next number
  open opening out over packets pass passes payload pending pick ping pipe promise queue ranges ready receive received
  reject release reliable remove repeat replaced report resumed said seek
  sample senders sent serve session settings settled share silent since skip smoothed spare start started stop store
  table take threshold timer tokens told trim uint waiting window words work
`);

function words(text) {
  return text.match(/[A-Za-z]\w*/g) ?? [];
}

/** text without comments and strings. */
function code(text) {
  return text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/.*$|"[^"\n]*"/gm, "");
}

function read(file) {
  return readFileSync(file, "utf8");
}

const options = {
  entryPoints: ["src/godwit.ts"],
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } }, // shorter
  legalComments: "none",
  banner: { js: "// @godwit/client. MIT licence. https://github.com/godwit-rtc/godwit" },
};

rmSync(".types", { recursive: true, force: true }); // of files that had other names
execFileSync("node_modules/.bin/tsc", ["-p", "."], { stdio: "inherit" });
const types = declarations();
const plain = await build({ ...options, outfile: "dist/godwit.js", write: false });
const near = await neighbours(plain.outputFiles[0].text);
const names = await internal(types);

// Names of our own, which may be short, for what src/ uses often.
const shared = {
  name: "shared",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^shared$/ }, () => ({ path: "shared", namespace: "shared" }));
    onLoad({ filter: /./, namespace: "shared" }, () => ({ contents: "export const { max: mathMax, min: mathMin } = Math;" }));
  },
};
const define = { "Math.max": "mathMax", "Math.min": "mathMin", "Number.MAX_SAFE_INTEGER": `${Number.MAX_SAFE_INTEGER}` };

/** The bundle of an entry, as small as it gets, and its map. */
async function small(entry, file, names, letters, plugins = [], format = "esm") {
  const { outputFiles } = await build({
    ...options,
    entryPoints: [entry],
    outfile: file,
    format,
    minify: true,
    inject: ["shared"],
    plugins: [shared, ...plugins],
    define,
    sourcemap: "external",
    mangleProps: new RegExp(`^(${Object.keys(names).join("|")})$`),
    mangleCache: { ...names },
    write: false,
  });
  const { code, map } = await minify(outputFiles[1].text, {
    module: format === "esm",
    ecma: 2020,
    compress: {
      passes: 4,
      unsafe_math: true,
      unsafe_arrows: true,
      unsafe_methods: true,
      pure_getters: true,
      keep_fargs: false,
      hoist_funs: true,
      unsafe: true,
    },
    mangle: { nth_identifier: variables(letters) },
    format: { comments: /licence/ },
    sourceMap: { content: outputFiles[0].text, url: `${file}.map` },
  });
  return { [`dist/${file}`]: code, [`dist/${file}.map`]: map };
}

/** Makes the typed bundle load the other one, a file beside it. */
const beside = (file) => ({
  name: "beside",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\/core$/ }, () => ({ path: `./${file}`, external: true }));
  },
});

/** The short names that a bundle with typed messages may have: what generated code calls has no other name. */
function namesBesideTypes() {
  const kept = new Set(typed.flatMap((file) => words(code(read(`.types/${file}`)))));
  return Object.fromEntries(Object.entries(names).filter(([name]) => !kept.has(name)));
}

const entries = { "godwit.min.js": "src/core.ts", "godwit.keep.min.js": "src/godwit.ts" };
// Properties of Writer and Reader that generated code does not use, and one of a class below Conn, whose name no member of
// Conn has.
const taken = new Set(["carrier", ...near.get("carrier")].map((name) => names[name]));
const heard = [..."ghabcdefijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"].find((letter) => !taken.has(letter));
const privates = { words: "t", bytes: "S", at: "l", size: "i", room: "a", skip: "k", past: "j", heard };
const seconds = Number(/^--names=(\d+)$/m.exec(process.argv.join("\n"))?.[1] ?? 0);
if (seconds) {
  const bundle =
    ([file, entry]) =>
    async (...how) =>
      (await small(entry, file, ...how))[`dist/${file}`];
  await search(names, near, Object.entries(entries).map(bundle), seconds);
  process.stdout.write("wrote names.json: now run npm run build\n");
  process.exit();
}
const minified = await Promise.all([
  ...Object.entries(entries).map(([file, entry]) => small(entry, file, names)),
  small("src/webtransport.ts", "godwit.webtransport.min.js", {}), // all its names are the browser's, or in our declarations
  small("src/game.ts", "godwit.game.min.js", {}), // the names of its properties stay: they are few
  small("src/worker.ts", "godwit.worker.min.js", {}), // so are those of what goes through postMessage: the two ends may differ
  small("src/typed.ts", "godwit.types.min.js", privates, undefined, [beside("godwit.min.js")]),
  small("src/classic.ts", "godwit.classic.min.js", namesBesideTypes(), undefined, [], "iife"),
]);
const typedBundle = await build({
  ...options,
  entryPoints: ["src/typed.ts"],
  outfile: "dist/godwit.types.js",
  plugins: [beside("godwit.js")],
  write: false,
});
const gameBundle = await build({ ...options, entryPoints: ["src/game.ts"], outfile: "dist/godwit.game.js", write: false });

const files = {
  "dist/godwit.d.ts": types,
  "dist/godwit.webtransport.min.d.ts": `// Made by build.mjs from src/.\n\nimport type { LinkType } from "./godwit.js";\n\n${split(read(".types/webtransport.d.ts")).at(-1)}\n`,
  "dist/godwit.worker.min.d.ts": `// Made by build.mjs from src/.\n\n${split(read(".types/worker.d.ts")).filter(exportedFunction).join("\n\n")}\n`,
  "dist/godwit.types.d.ts": typesOfTypes(),
  "dist/godwit.classic.min.d.ts": `// Made by build.mjs from src/.\n\ndeclare const godwit: typeof import("./godwit.js") & { types: typeof import("./godwit.types.js") };\n`,
  "dist/godwit.types.js": typedBundle.outputFiles[0].text,
  "dist/godwit.game.d.ts": typesOfGame(),
  "dist/godwit.game.js": gameBundle.outputFiles[0].text,
  "dist/godwit.js": plain.outputFiles[0].text,
  ...Object.assign({}, ...minified),
};
let failed = false;
for (const [file, limit] of Object.entries(limits)) {
  const size = gzipSync(files[file], { level: 9 }).length;
  process.stdout.write(`${file}: ${files[file].length} bytes, ${size} gzipped, of ${limit}\n`);
  failed ||= size > limit;
}
const zipped = (text) => gzipSync(text, { level: 9 }).length;
const [client, added] = ["dist/godwit.min.js", "dist/godwit.types.min.js"].map((f) =>
  files[f].replace(/^\/\/.*\n?|import\{[^;]*;/gm, ""),
);
const more = zipped(client + added) - zipped(client);
process.stdout.write(
  `dist/godwit.types.min.js: ${zipped(added)} bytes gzipped, ${more} in one bundle with the client, of ${mostAdded}\n`,
);
failed ||= more > mostAdded;
mkdirSync("dist", { recursive: true });
for (const [file, text] of Object.entries(files)) {
  if (!check) writeFileSync(file, text);
  else if (!existsSync(file) || read(file) !== text) {
    process.stderr.write(`${file} is not what src/ makes: run npm run build\n`);
    failed = true;
  }
}
process.exitCode = failed ? 1 : 0;
