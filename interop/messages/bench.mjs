// The five messages of internal/gen/game in JavaScript, beside msgpackr and JSON, in nanoseconds and bytes:
//
//	npm ci && node bench.mjs
//
// The runtime is web/src/pack.ts, which esbuild of web/node_modules makes to JavaScript.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Packr } from "msgpackr";

const here = (path) => new URL(path, import.meta.url);
const load = (text) => import(`data:text/javascript,${encodeURIComponent(text)}`);
const pack = execFileSync(here("../../web/node_modules/.bin/esbuild").pathname, [here("../../web/src/pack.ts").pathname]);
const { Reader, Writer } = await load(`${pack}`);
const { table } = await load(readFileSync(here("../../internal/gen/game/game.js"), "utf8"));

const kinds = ["player", "rocket", "crate", "flag"],
  q = ["poor", "common", "rare", "epic"];
const f = Math.fround;
const msgs = {
  input: {
    tick: 81234,
    forward: 1,
    strafe: -1,
    jump: false,
    fire: true,
    crouch: false,
    weapon: 3,
    yaw: f(123.4),
    pitch: f(-12.3),
  },
  snapshot: {
    tick: 81234,
    ack: 81229,
    entities: Array.from({ length: 20 }, (_, i) => ({
      id: 7 * i,
      kind: kinds[i % 4],
      x: i * 41.25 - 400,
      y: 300 - i * 17.5,
      z: i * 2.25,
      vx: i / 2 - 5,
      vy: 5 - i / 4,
      yaw: i * 14.0625,
      health: 100 - 3 * i,
      firing: i % 3 === 0,
    })),
  },
  chat: { from: 17, team: false, at: new Date(1790000000123), text: "flag carrier is low, going left side, cover me" },
  inventory: {
    gold: 12450,
    weight: f(123.4),
    capacity: 200,
    items: Array.from({ length: 12 }, (_, i) => ({
      id: 100 + 37 * i,
      count: 1 + i * i,
      slot: i,
      quality: q[i % 4],
      wear: f(i / 12),
      equipped: i < 4,
    })),
  },
  join: { name: "Ada Lovelace", team: "red", colour: 0x3366cc, version: 12 },
};
const codecs = { ...table.messages, join: table.requests.join[0] };
const w = new Writer(),
  r = new Reader();
const rec = new Packr({ structures: [] });
const plain = new Packr({ useRecords: false });
function time(fn) {
  let best = 1e9;
  for (let k = 0; k < 30; k++) {
    const t = process.hrtime.bigint();
    for (let i = 0; i < 1000; i++) fn();
    best = Math.min(best, Number(process.hrtime.bigint() - t) / 1000);
  }
  return best.toFixed(0).padStart(6);
}
for (const [name, m] of Object.entries(msgs)) {
  const c = codecs[name];
  const b = w.encode(c, m).slice(),
    p = plain.pack(m),
    s = rec.pack(m);
  const j = JSON.stringify(m);
  console.log(
    name.padEnd(10),
    "bytes",
    b.length,
    p.length,
    s.length,
    j.length,
    "enc",
    time(() => w.encode(c, m)),
    time(() => plain.pack(m)),
    time(() => rec.pack(m)),
    time(() => JSON.stringify(m)),
    "dec",
    time(() => r.decode(c, b)),
    time(() => plain.unpack(p)),
    time(() => rec.unpack(s)),
    time(() => JSON.parse(j)),
  );
}
