// Runs tests against mutants inside a worker of run.mjs. Vitest collects the tests; this runs those that reach a mutant,
// one mutant after the other in one process, and writes a line of JSON for each.
import { appendFileSync, readFileSync } from "node:fs";
import { TestRunner, vi } from "vitest";
import { getFn, getHooks } from "vitest/suite";

// The tests have clocks of their own.
const { setTimeout, setInterval, clearInterval } = globalThis;

/** Milliseconds of the processor's time so far: others may be on this machine, too. */
function used() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

const tick = 20; // ms
const patience = 40; // ticks in which src/ does nothing, when a test does not wait for something real

const mostReached = 10_000;
const mutant = (globalThis.$mutant = new Int32Array(1));
const reached = new Uint8Array(mostReached);
mutant.hit = (id) => {
  reached[id] = 1;
  return false;
};
const budget = (globalThis.$budget = new Float64Array(1));
budget.stop = () => {
  throw new Error("an endless loop");
};
budget[0] = 1e12;

// What a mutant leaves behind may fail when nobody looks; and a program's own error is reported as uncaught.
process.on("uncaughtException", () => {});
process.on("unhandledRejection", () => {});

/** Runs one test with its hooks. Reports whether it passes, and how much of the budget and of time it took. */
async function run(test, id, spend = 1e12) {
  mutant[0] = id;
  budget[0] = spend;
  const began = used();
  let watch;
  const hung = new Promise((_, reject) => {
    let last = spend;
    let still = 0;
    watch = setInterval(() => {
      still = last === budget[0] ? still + 1 : 0;
      last = budget[0];
      if (still > patience) reject(new Error("it hangs"));
    }, tick);
  });
  hung.catch(() => {});
  const suites = [];
  for (let s = test.suite ?? test.file; s; s = s.suite ?? (s === test.file ? undefined : test.file)) suites.unshift(s);
  const hooks = (kind) => suites.flatMap((s) => getHooks(s)[kind] ?? []);
  let pass = true;
  const attempt = async (f) => {
    try {
      await Promise.race([f(), hung]);
    } catch {
      pass = false;
    }
  };
  await attempt(async () => {
    for (const f of hooks("beforeEach")) await f(test.context, test.suite);
    await getFn(test)(test.context);
  });
  const took = used() - began;
  const spent = spend - budget[0];
  mutant[0] = 0;
  budget[0] = Infinity;
  vi.restoreAllMocks(); // before the hooks: a spy may be on a clock, which they replace
  for (const f of hooks("afterEach").reverse()) await attempt(() => f(test.context, test.suite));
  vi.useRealTimers();
  clearInterval(watch);
  await new Promise((resolve) => setTimeout(resolve, 0));
  return { pass, took, spent };
}

function tests(tasks, path = []) {
  if (path.at(-1) === "bundle") return []; // not src/
  return tasks.flatMap((t) =>
    t.type === "suite" ? tests(t.tasks, [...path, t.name]) : t.mode === "run" ? [[[...path, t.name].join(" > "), t]] : [],
  );
}

const job = JSON.parse(readFileSync(process.env.GODWIT_JOB, "utf8"));
const say = (o) => appendFileSync(job.results, `${JSON.stringify(o)}\n`);

/** Which mutants each test reaches, and what it costs. */
async function reach(all) {
  for (const [name, test] of all) {
    say({ test: name });
    reached.fill(0);
    const first = await run(test, 0);
    if (!first.pass) {
      say({ test: name, why: "fails" });
      continue;
    }
    const ids = [];
    for (let id = 0; id < mostReached; id++) if (reached[id]) ids.push(id);
    if (!ids.length) continue;
    const { pass, took, spent } = await run(test, 0);
    if (!pass) say({ test: name, why: "fails the second time" });
    else if (took > job.longest) say({ test: name, why: `takes ${Math.round(took)} ms` });
    else say({ test: name, took, spent, ids });
  }
  say({ done: true });
}

async function kill(all) {
  const known = new Map(all);
  for (const { id, by } of job.mutants) {
    say({ id });
    let killer = "";
    for (const { name, spent } of by) {
      const { pass } = await run(known.get(name), id, 20 * spent + 1e5);
      if (pass) continue;
      // Is it the mutant, or what mutants before it have left?
      const again = await run(known.get(name), 0, 20 * spent + 1e5);
      if (!again.pass) {
        say({ id, spoilt: name });
        process.kill(process.pid, "SIGKILL");
      }
      if ((await run(known.get(name), id, 20 * spent + 1e5)).pass) continue; // it hung once, on a busy machine
      killer = name;
      break;
    }
    say({ id, killer });
  }
  say({ done: true });
}

export default class extends TestRunner {
  async onCollected(files) {
    await super.onCollected?.(files);
    const all = tests(files.flatMap((f) => f.tasks));
    if (!all.length) say({ why: JSON.stringify(files.map((f) => f.result)) });
    await (job.kind === "reach" ? reach(all) : kill(all));
    process.kill(process.pid, "SIGKILL"); // nothing is left to be said
  }
}
