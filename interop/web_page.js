"use strict";
// The page's half of the client's tests: window.godwit is @godwit/client.

const table = [
  { name: "effects", mode: "unreliable" },
  { name: "positions", mode: "sequenced" },
  { name: "loot", mode: "reliable-unordered" },
  { name: "chat", mode: "reliable-ordered" },
  { name: "sparks", mode: "unreliable", direction: "to-client" },
  { name: "world", mode: "sequenced", direction: "to-client" },
  { name: "news", mode: "reliable-ordered", direction: "to-client" },
];

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(ms, done) {
  for (const stop = performance.now() + ms; performance.now() < stop && !done(); ) await pause(10);
  return done();
}

// join opens a session and leaves it in window.conn. What happens to it is in conn.log, with the time. to is an invite,
// if there is one.
async function join({ to = "godwit/", ...options } = {}) {
  const conn = await godwit.connect(to, { channels: table, ...options });
  window.conn = conn;
  conn.log = [];
  for (const type of ["interrupted", "resumed", "close"]) {
    conn.addEventListener(type, (e) => conn.log.push({ type, at: performance.now(), why: e.why }));
  }
  conn.addEventListener("link", () => conn.log.push({ type: conn.link, at: performance.now() }));
  return conn.times;
}

// A Book holds what one channel promised against the echoes that came: each message has its number, the time it
// was sent, and bytes that depend on both.
class Book {
  // saved is what save returned on the page before this one.
  constructor(conn, name, size, saved = {}) {
    Object.assign(this, { conn, name, size, sent: 0, refused: 0, duplicates: 0, disorder: 0, corrupt: 0, last: -1 }, saved);
    this.seen = new Set(saved.seen);
    this.came = []; // when it was sent, when it came
    this.off = conn.on(name, (b) => this.take(b));
  }

  write(n, at) {
    const b = new Uint8Array(this.size).map((_, i) => n * 31 + i * 7);
    const v = new DataView(b.buffer);
    v.setUint32(0, n);
    v.setFloat64(4, at);
    return b;
  }

  send() {
    try {
      this.conn.send(this.name, this.write(this.sent, performance.now()));
      this.sent++;
    } catch (e) {
      if (!(e instanceof godwit.SendError)) throw e;
      this.refused++;
    }
  }

  take(b) {
    const now = performance.now();
    const v = new DataView(b.buffer, b.byteOffset, b.length);
    const n = v.getUint32(0);
    const at = v.getFloat64(4);
    const want = this.write(n, at);
    if (b.length !== want.length || want.some((c, i) => c !== b[i])) this.corrupt++;
    if (this.seen.has(n)) this.duplicates++;
    if (n < this.last) this.disorder++;
    this.last = n;
    this.seen.add(n);
    this.came.push([at, now]);
  }

  save() {
    const { sent, refused, duplicates, disorder, corrupt, last } = this;
    return { sent, refused, duplicates, disorder, corrupt, last, seen: [...this.seen] };
  }

  result() {
    this.off();
    const { name, sent, refused, duplicates, disorder, corrupt } = this;
    const latencies = this.came.map(([at, now]) => now - at).sort((a, b) => a - b);
    return { name, sent, refused, duplicates, disorder, corrupt, echoed: this.seen.size, latencies, came: this.came };
  }
}

// steady calls f rate times a second until it has count times.
async function steady(rate, count, f) {
  const start = performance.now();
  for (let n = 0; n < count; await pause(1000 / rate / 2)) {
    for (; n < count && performance.now() >= start + (n * 1000) / rate; n++) f(n);
  }
}

// exchange sends count messages on each channel, and waits for their echoes: of the reliable ones, until all are there.
async function exchange({ channels, rate, size, count, drain }) {
  const books = channels.map((name) => new Book(conn, name, size));
  await steady(rate, count, () => books.forEach((b) => b.send()));
  const owing = books.filter((b) => b.name === "loot" || b.name === "chat");
  await pause(1000);
  await until(drain, () => owing.every((b) => b.seen.size === b.sent));
  return books.map((b) => b.result());
}

// listen keeps books of what the server sends by itself in window.heard.
function listen(channels, size) {
  window.heard = channels.map((name) => new Book(conn, name, size));
}

// talkThroughReloads sends messages until there were count of each channel, over all pages of the tab, and keeps books
// of their echoes and of what the server sends on news.
async function talkThroughReloads({ rate, size, count, drain }) {
  window.godwit = await import("/godwit.keep.min.js");
  window.conn = await godwit.keep("/godwit/", { channels: table });
  const saved = JSON.parse(sessionStorage.getItem("books") ?? "[]");
  window.books = ["loot", "chat", "news"].map((name, i) => new Book(conn, name, size, saved[i]));
  window.addEventListener("pagehide", () => sessionStorage.setItem("books", JSON.stringify(books.map((b) => b.save()))));
  const [loot, chat, news] = books;
  await steady(rate, count - chat.sent, () => [loot, chat].forEach((b) => b.send()));
  await until(drain, () => loot.seen.size >= loot.sent && chat.seen.size >= chat.sent && news.seen.size >= count);
  return books.map((b) => b.result());
}

// A Player is a player of a fleet: it sends numbers on chat, and checks those that it gets. They go on when a server moves the
// session to another one, and begin again when a session has ended in another way.
class Player {
  // at is the server to whose address the first session goes.
  constructor(name, at) {
    Object.assign(this, { name, at, up: 0, down: 0, news: [], errors: [], opened: 0, codes: [], begun: 0 });
    this.play().catch((e) => this.errors.push(`${name}: ${e}`));
    this.timer = setInterval(() => this.tick(), 20);
  }

  async play() {
    const seat = async () => {
      const headers = { player: this.name, ...(this.opened ? {} : { at: this.at }) };
      const response = await fetch("/join", { method: "POST", headers });
      if (!response.ok) throw new Error(`the front answers ${response.status}`);
      return response.json();
    };
    const gone = async ({ node }) => (await fetch(`/join?node=${node}`)).status === 410;
    const channels = ["chat", "news"].map((name) => ({ name, mode: "reliable-ordered" }));
    for await (const conn of godwit.sessions(seat, { channels, gone, timeout: 60000 })) this.begin(conn);
    this.errors.push(`${this.name}: there are no more sessions`);
  }

  begin(conn) {
    this.conn = conn;
    this.opened++;
    this.begun = Date.now();
    conn.on("news", (b) => this.news.push(new TextDecoder().decode(b)));
    conn.on("chat", (b) => {
      const n = Number(new DataView(b.buffer, b.byteOffset).getBigUint64(0));
      if (n !== this.down) this.errors.push(`${this.name} gets ${n}, want ${this.down}`);
      this.down = n + 1;
    });
    conn.closed.then(({ code, lostIn, lostOut }) => {
      this.codes.push(code);
      if (code !== 8) Object.assign(this, { up: 0, down: 0 });
      else if (lostIn + lostOut > 0) this.errors.push(`${this.name}: a move has lost ${lostIn} and ${lostOut} bytes`);
    });
  }

  tick() {
    const b = new Uint8Array(8);
    new DataView(b.buffer).setBigUint64(0, BigInt(this.up));
    try {
      this.conn?.send("chat", b);
      if (this.conn) this.up++;
    } catch (e) {
      if (!(e instanceof godwit.SendError)) this.errors.push(String(e));
    }
  }

  state() {
    const { up, down, news, errors, opened, codes, begun } = this;
    return { up, down, news, errors, opened, codes, begun };
  }
}

// native does what exchange does with a data channel of the browser's own, as reliable and ordered as it comes.
async function native({ rate, size, count, drain }) {
  const pc = new RTCPeerConnection();
  const dc = pc.createDataChannel("native");
  dc.binaryType = "arraybuffer";
  await pc.setLocalDescription();
  const response = await fetch("/native", { method: "POST", body: pc.localDescription.sdp });
  await pc.setRemoteDescription((await response.json()).answer);
  await new Promise((resolve) => (dc.onopen = resolve));
  let heard = () => {};
  dc.onmessage = ({ data }) => heard(new Uint8Array(data));
  const book = new Book({ on: (_, f) => ((heard = f), () => {}), send: (_, b) => dc.send(b) }, "native", size);
  await steady(rate, count, () => book.send());
  await until(drain, () => book.seen.size === count);
  pc.close();
  return book.result();
}

// waits opens a session with each target, one after the other, and sends a message at once. It returns, for each, the ms
// from the answer to the open channel and those from the beginning to the echo, or null if there was none within limit ms.
async function waits({ targets, limit }) {
  const all = [];
  for (const target of targets) {
    const start = performance.now();
    const conn = new godwit.Conn(target, { channels: table, timeout: limit });
    conn.opened.catch((e) => console.log(e.message));
    let echoed = 0;
    conn.on("chat", () => (echoed ||= performance.now() - start));
    conn.send("chat", Uint8Array.of(1));
    await until(limit, () => echoed);
    all.push(echoed ? [conn.times.ice + conn.times.transport, echoed] : null);
    await Promise.race([conn.close(), pause(1000)]);
  }
  return all;
}

// nativeWaits does what waits does with a reliable data channel of the browser's own.
async function nativeWaits({ count, limit }) {
  const all = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const pc = new RTCPeerConnection();
    const dc = pc.createDataChannel("native");
    let [answered, opened, echoed] = [0, 0, 0];
    dc.onopen = () => {
      opened = performance.now();
      dc.send("1");
    };
    dc.onmessage = () => (echoed = performance.now() - start);
    await pc.setLocalDescription();
    const response = await fetch("/native", { method: "POST", body: pc.localDescription.sdp });
    const { answer } = await response.json();
    answered = performance.now();
    await pc.setRemoteDescription(answer);
    await until(limit, () => echoed);
    all.push(echoed ? [opened - answered, echoed] : null);
    pc.close();
  }
  return all;
}
