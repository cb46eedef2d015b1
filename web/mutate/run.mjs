// Tests the tests of the browser client: it changes src/ in one place after the other and reports the changes that no
// test notices, as ci/mutate does it for Go.
//
//	node mutate/run.mjs [-j workers] [-longest ms] [-budget ms] [-only regexp] [-again report] [-v] [file of src/ ...]
//
// src/ is instrumented once, with every change behind a number, while vitest loads it. A worker is one process that
// tries many changes: of each only the tests that reach it, quick ones first. Tests that fail without a Go program, or
// take longer than -longest, do not count; and of those that reach a change, only as many as take -budget together. These
// are milliseconds of the processor. A test that hangs, or loops without end, has noticed.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { instrument } from "./instrument.mjs";

const web = fileURLToPath(new URL("..", import.meta.url));
const unchanged = new Set(["core.ts", "godwit.ts"]); // they only export

/** The files of src/ with their mutants. */
export function sources(mark = false) {
  const files = new Map();
  let first = 1;
  const count = new Map();
  for (const name of readdirSync(join(web, "src"))) {
    if (!name.endsWith(".ts")) continue;
    const file = `src/${name}`;
    const code = readFileSync(join(web, file), "utf8");
    if (unchanged.has(name)) {
      files.set(file, { code, mutants: [] });
      continue;
    }
    const r = instrument(file, code, first, mark);
    first += r.mutants.length;
    for (const m of r.mutants) {
      const key = `web: ${m.fn}: ${m.text}`;
      const nth = (count.get(key) ?? 0) + 1;
      count.set(key, nth);
      m.key = nth > 1 ? `${key} (${nth})` : key;
      m.line = `web/${m.file}:${m.line}: ${m.key.slice("web: ".length)}`;
    }
    files.set(file, r);
  }
  return files;
}

/** Runs a worker on a job until it is done or says nothing for a while, and hands on what it says. */
async function worker(dir, n, job, hear) {
  const at = join(dir, `${n}.job`);
  job.results = join(dir, `${n}.results`);
  writeFileSync(job.results, "");
  writeFileSync(at, JSON.stringify(job));
  const child = spawn(process.execPath, ["node_modules/vitest/vitest.mjs", "run", "--config", "mutate/vitest.config.mjs"], {
    cwd: web,
    env: { ...process.env, GODWIT_JOB: at, GODWIT_MARK: job.kind === "reach" ? "1" : "" },
    detached: true, // a group, which can be ended with its own children
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const s of [child.stdout, child.stderr]) s.on("data", (b) => (output += b));
  let ended = false;
  child.on("exit", () => (ended = true));
  const end = () => {
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // it has ended
    }
  };
  process.on("exit", end);
  let seen = 0;
  let done = false;
  const reach = job.kind === "reach"; // a test that hangs has noticed a mutant, but now there is none
  for (let last = Date.now(); !done; ) {
    const over = ended; // before what it has said is read
    await new Promise((resolve) => setTimeout(resolve, 100));
    const lines = readFileSync(job.results, "utf8").split("\n").slice(0, -1);
    for (const line of lines.slice(seen)) {
      const o = JSON.parse(line);
      if (o.done) done = true;
      else hear(o);
    }
    if (lines.length > seen) last = Date.now();
    seen = lines.length;
    if (over || Date.now() - last > (reach ? 600_000 : seen ? 30_000 : 180_000)) break;
  }
  end();
  process.off("exit", end);
  if (reach && !done) throw new Error("the worker ended, or said nothing for ten minutes, before every test had run");
  if (!seen) throw new Error(`the worker said nothing:\n${output}`);
}

async function main() {
  const { values: flags, positionals } = parseArgs({
    args: process.argv.slice(2).map((a) => a.replace(/^-(?=\w{2})/, "--")),
    allowPositionals: true,
    options: {
      j: { type: "string", short: "j", default: "2" },
      longest: { type: "string", default: "1000" },
      budget: { type: "string", default: "5000" },
      only: { type: "string", default: "" },
      again: { type: "string", default: "" },
      v: { type: "boolean", short: "v", default: false },
    },
  });
  const dir = mkdtempSync(join(tmpdir(), "mutate"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const only = new RegExp(flags.only);
  const report = flags.again && readFileSync(flags.again, "utf8");
  const named = new Set(positionals.map((p) => p.replace(/^.*\//, "").replace(/(\.ts)?$/, ".ts")));
  const equivalents = readFileSync(join(web, "../ci/mutate/equivalent.txt"), "utf8").split("\n");
  const known = new Set(equivalents.filter((l) => l.startsWith("web: ")).map((l) => l.trim()));

  const all = [...sources().values()].flatMap((s) => s.mutants);
  let wanted = [];
  const same = new Map(); // of each file, how many are equivalent
  for (const m of all) {
    const mine = !named.size || named.has(m.file.slice("src/".length));
    if (known.delete(m.key)) same.set(m.file, (same.get(m.file) ?? 0) + +mine);
    else if (mine && only.test(m.line) && (!report || report.includes(`: ${m.key.slice("web: ".length)}`))) wanted.push(m);
  }

  // Which test reaches what.
  const tests = [];
  let now = "";
  await worker(dir, "reach", { kind: "reach", longest: Number(flags.longest) }, (o) => {
    if (o.ids) tests.push(o);
    else if (o.why && flags.v) process.stdout.write(`${o.test} does not count: it ${o.why}\n`);
    now = o.test;
  });
  if (!tests.length) throw new Error(`no test reaches anything; the last was ${now}`);
  tests.sort((a, b) => a.took - b.took);
  const byID = new Map();
  for (const { test: name, ids, spent, took } of tests) {
    for (const id of ids) {
      const by = byID.get(id) ?? { tests: [], took: 0 };
      byID.set(id, by);
      by.took += took;
      if (by.took <= Number(flags.budget) || !by.tests.length) by.tests.push({ name, spent });
    }
  }

  // In turns, so that workers have as much to do as each other.
  const left = wanted.filter((m) => byID.has(m.id));
  const began = Date.now();
  const told = () =>
    process.stderr.write(
      `${Math.round((Date.now() - began) / 1000)} s: ${left.filter((m) => m.outcome).length} of ${left.length}\n`,
    );
  const every = setInterval(told, 60_000);
  const turn = async (n) => {
    let mine = left.filter((_, i) => i % Number(flags.j) === n);
    const spoilt = new Map();
    while (mine.length) {
      let at;
      const job = { kind: "kill", mutants: mine.map(({ id }) => ({ id, by: byID.get(id).tests })) };
      await worker(dir, n, job, ({ id, killer, spoilt: by }) => {
        const m = mine.find((m) => m.id === id);
        if (by) {
          const times = (spoilt.get(id) ?? 0) + 1;
          spoilt.set(id, times);
          if (times > 1) [m.outcome, m.killer] = ["killed", `${by}, which it spoils`];
          at = undefined;
        } else if (killer === undefined) at = m;
        else [m.outcome, m.killer, at] = [killer ? "killed" : "survived", killer, undefined];
      });
      if (at) [at.outcome, at.killer] = ["killed", "the clock"];
      mine = mine.filter((m) => !m.outcome);
    }
  };
  const stopped = new Promise((resolve) => ["SIGINT", "SIGTERM"].forEach((signal) => process.on(signal, resolve)));
  await Promise.race([stopped, Promise.all(Array.from({ length: Number(flags.j) }, (_, n) => turn(n)))]);
  clearInterval(every);

  const untried = new Set(left.filter((m) => !m.outcome));
  if (untried.size) process.stdout.write(`stopped before ${untried.size} changes were tried\n`);
  wanted = wanted.filter((m) => !untried.has(m));
  for (const m of wanted) {
    const notes = { killed: ` [killed by ${m.killer}]`, survived: "", undefined: " [no test reaches it]" };
    if (flags.v || m.outcome !== "killed") process.stdout.write(`${m.line}${notes[m.outcome]}\n`);
  }
  for (const key of known) process.stdout.write(`equivalent.txt: there is no ${key}\n`);
  const score = (name, list, same) => {
    const n = (outcome) => list.filter((m) => m.outcome === outcome).length;
    const percent = ((100 * n("killed")) / Math.max(1, list.length)).toFixed(1).padStart(5);
    process.stdout.write(
      `${name.padEnd(24)} ${percent} %  ${list.length} changes, ${n("killed")} killed, ${n("survived")} survive, ${n(undefined)} not reached, ${same} equivalent\n`,
    );
  };
  for (const file of new Set(wanted.map((m) => m.file)))
    score(
      `web/${file}`,
      wanted.filter((m) => m.file === file),
      same.get(file) ?? 0,
    );
  score(
    "web",
    wanted,
    [...same.values()].reduce((a, b) => a + b, 0),
  );
  const open = wanted.filter((m) => m.outcome !== "killed").length + untried.size + known.size;
  if (open) process.stderr.write(`${open} changes survive\n`);
  process.exit(open ? 1 : 0);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!existsSync(join(web, "node_modules"))) throw new Error("npm ci first");
  await main();
}
