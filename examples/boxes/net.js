// The game without a picture, for pages that draw it with an engine: examples/phaser and examples/three.

import { sessions } from "/godwit/godwit.types.js";
import { Clock, Prediction, Snapshots } from "/godwit/godwit.game.js";
import { table } from "./table.js"; // from messages.go

export const width = 16000, height = 9000, side = 640; // of the board and of a box, in units, as in messages.go
const tick = 50, speed = 240; // ms, units a tick

// move is the function of game.go: where a box is after a tick.
function move(box, { x, y }) {
  const f = speed / Math.max(1, Math.hypot(x, y)), within = (v, most) => Math.min(Math.max(v, 0), most);
  return { ...box, x: within(box.x + Math.trunc(x * f), width - side), y: within(box.y + Math.trunc(y * f), height - side) };
}

const mix = (a, b, share) => ({ ...b, x: a.x + (b.x - a.x) * share, y: a.y + (b.y - a.y) * share });

/** A World is the game as one player sees it. */
export class World {
  /** By id: name, colour as 0xRRGGBB, and x and y, the corner of the box; undefined before the first snapshot. */
  players = new Map();
  /** The id of the player of this page; 0 until the server has let the player in. */
  own = 0;
  /** What to show the player: "connected", or why not. */
  state = "connecting…";

  #conn;
  #clock = new Clock({ tick });
  #snapshots = new Snapshots(this.#clock);
  #box = new Prediction(this.#clock, { step: move, mix });

  /** Plays under a name until the session ends for good. The state has the error, if there is one. */
  async play(name, url = "/godwit/") {
    try {
      for await (const conn of sessions(url, table)) await this.#session(conn, name);
      this.state = "the session is over";
    } catch (err) {
      this.state = err.message;
    }
  }

  async #session(conn, name) {
    this.#conn = conn;
    this.#clock = new Clock({ tick });
    this.#snapshots = new Snapshots(this.#clock);
    this.#box = new Prediction(this.#clock, { step: move, mix });
    this.players.clear();
    this.own = 0;
    conn.on("world", (world) => this.#hear(world));
    conn.on("early", ({ ticks }) => this.#clock.early(ticks));
    conn.on("news", ({ kind, id, text }) => {
      if (kind === "here" || kind === "joined") this.players.set(id, { name: text, colour: colour(id) });
      if (kind === "left") this.players.delete(id);
    });
    conn.addEventListener("interrupted", () => (this.state = "the server is not heard"));
    conn.addEventListener("resumed", () => (this.state = "connected"));
    try {
      this.own = (await conn.request("join", { name })).id;
    } catch (err) {
      if (err.code === "rejected") throw err;
      return; // the session is over, and the next one tries again
    }
    this.state = "connected";
    const why = await conn.closed;
    this.state = `${why.reason || "the session is over"}: waiting for a new one`;
  }

  #hear(world) {
    const now = performance.now(), boxes = new Map(world.boxes.map((box) => [box.id, box]));
    this.#clock.hear(now, world.tick, this.#conn.stats().rtt);
    this.#snapshots.add(now, world.tick, boxes);
    if (boxes.has(this.own)) this.#box.correct(now, world.tick, boxes.get(this.own));
  }

  /**
   * Call frame before each picture, with the direction in which the player steers: x and y of -1 to 1. It sends the inputs that are
   * due, and sets x and y of the players: of the others a little late, between two snapshots, and of the own one at once.
   */
  frame(direction) {
    const now = performance.now();
    const due = this.own && this.#conn.state === "open" ? this.#clock.due(now) : [];
    for (const tick of due) this.#box.input(tick, direction);
    if (due.length) this.#conn.send("input", { tick: this.#box.tick, inputs: this.#box.recent(4) });
    const shown = this.#snapshots.at(now);
    if (!shown) return;
    for (const [id, p] of this.players) {
      const to = shown.to.get(id);
      if (to) Object.assign(p, mix(shown.from.get(id) ?? to, to, shown.share));
    }
    Object.assign(this.players.get(this.own) ?? {}, this.#box.at(now));
  }
}

// colour returns the colour of a player: hsl(137.5 * id, 65 %, 50 %).
function colour(id) {
  const part = (n) => {
    const k = (n + (id * 137.5) / 30) % 12;
    return Math.round(255 * (0.5 - 0.325 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return (part(0) << 16) | (part(8) << 8) | part(4);
}

const keys = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const held = new Set();
addEventListener("keydown", (e) => keys[e.code] && held.add(e.code));
addEventListener("keyup", (e) => held.delete(e.code));
addEventListener("blur", () => held.clear());

/** Returns the direction of the arrow keys that are held, of length 1 at most. */
export function arrows() {
  let x = 0, y = 0;
  for (const code of held) x += keys[code][0], y += keys[code][1];
  const length = Math.max(1, Math.hypot(x, y)), round = (v) => Math.round((v / length) * 100) / 100; // as in a message
  return { x: round(x), y: round(y) };
}

/** Returns the name of the player: of the URL (?name=ada), or what the player types. */
export const playerName = () => new URLSearchParams(location.search).get("name") || prompt("Your name") || "nobody";
