"use strict";
// The functions of the page that every Eval may call.
//
//   const c = await connect({ channels: [{ label: "chat" }] });
//   c.channels[0].send("hello");
//   return describe(await c.channels[0].next());

// patience is how long a page waits for anything before it gives up, in ms.
const patience = 100000;

function within(ms, promise, what) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: nothing after ${ms} ms`)), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

// connect shakes hands with the page's server and resolves once all channels are
// open. A channel is a label and any RTCDataChannelInit, by default unordered and
// without retransmits. setup, "active" or "passive", demands a DTLS role; without it
// the server chooses.
async function connect({ channels = [{ label: "data" }], timeout = patience, setup } = {}) {
  const c = new Connection(channels, setup);
  try {
    await within(timeout, c.shakeHands(), "connect");
  } catch (e) {
    c.close();
    throw e;
  }
  return c;
}

class Connection {
  constructor(channels, setup = "actpass") {
    this.times = { start: performance.now() };
    this.setup = setup;
    this.pc = new RTCPeerConnection();
    this.channels = channels.map(
      ({ label, ...init }) => new Channel(this.pc.createDataChannel(label, { ordered: false, maxRetransmits: 0, ...init })),
    );
    this.watch();
  }

  // closed resolves with the event that told the page of the end of the connection.
  watch() {
    this.closed = new Promise((resolve) => {
      this.pc.addEventListener("connectionstatechange", () => {
        const state = this.pc.connectionState;
        if (state === "connected") this.mark("dtls");
        if (state === "failed" || state === "closed") resolve(state);
      });
      for (const ch of this.channels) ch.dc.addEventListener("close", () => resolve("channel closed"));
    });
    this.pc.addEventListener("iceconnectionstatechange", () => {
      if (this.pc.iceConnectionState === "connected") this.mark("ice");
    });
  }

  mark(phase) {
    this.times[phase] ??= performance.now();
  }

  async shakeHands() {
    await this.pc.setLocalDescription();
    this.mark("offer");
    const body = this.pc.localDescription.sdp.replace("a=setup:actpass", `a=setup:${this.setup}`);
    const response = await fetch("/new_rtc_session", { method: "POST", body });
    if (!response.ok) throw new Error(`signaling: ${response.status} ${await response.text()}`);
    const { answer, candidate } = await response.json();
    this.mark("answer");
    await this.pc.setRemoteDescription(answer);
    await this.pc.addIceCandidate(candidate);
    await Promise.all(this.channels.map((ch) => ch.opened));
    this.mark("open");
  }

  // phases has the milliseconds since connect began: offer made, answer received, ICE and
  // DTLS connected according to the events, all channels open.
  get phases() {
    const { start, ...rest } = this.times;
    return Object.fromEntries(Object.entries(rest).map(([phase, at]) => [phase, at - start]));
  }

  close() {
    this.pc.close();
  }
}

// Channel is a data channel with an inbox.
class Channel {
  constructor(dc) {
    this.dc = dc;
    this.inbox = [];
    this.waiting = [];
    dc.binaryType = "arraybuffer";
    this.opened = new Promise((resolve) => dc.addEventListener("open", resolve));
    dc.addEventListener("message", ({ data }) => {
      const next = this.waiting.shift();
      if (next) next(data);
      else this.inbox.push(data);
    });
  }

  send(data) {
    this.dc.send(data);
  }

  // next resolves with the oldest message that no next has returned.
  next(timeout = patience) {
    if (this.inbox.length) return Promise.resolve(this.inbox.shift());
    const message = new Promise((resolve) => this.waiting.push(resolve));
    return within(timeout, message, `message on ${this.dc.label}`);
  }

  // echo sends one message and resolves with the next message that arrives.
  echo(data) {
    this.send(data);
    return this.next();
  }
}

// describe returns a message as a JSON value: its kind, size, and text or bytes.
function describe(data) {
  if (typeof data === "string") return { kind: "text", size: data.length, text: data };
  return { kind: "binary", size: data.byteLength, bytes: Array.from(new Uint8Array(data)) };
}

// pattern returns n bytes; no two adjacent bytes are equal.
function pattern(n) {
  return Uint8Array.from({ length: n }, (_, i) => i * 7);
}

// pace calls send with 0 to count - 1, rate times a second, and resolves after the
// last one, or when the channel closes.
function pace(channel, { rate, count }, send) {
  const start = performance.now();
  let n = 0;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(count, ((performance.now() - start) * rate) / 1000);
      while (n < due) send(n++);
      if (n < count && channel.dc.readyState === "open") return;
      clearInterval(timer);
      resolve();
    }, 1000 / rate);
  });
}

// flood sends count messages of 4 bytes as fast as their echoes come back, with no
// more than window messages in flight, so that no socket buffer overflows. An echo that takes
// more than 100 ms counts as lost. flood returns the number of echoes.
async function flood(channel, { count, window }) {
  const seen = new Uint8Array(count);
  const message = new DataView(new ArrayBuffer(4));
  let [sent, back, heard] = [0, 0, performance.now()];
  const pump = () => {
    while (sent < Math.min(count, back + window)) {
      message.setUint32(0, sent++);
      channel.send(message);
    }
  };
  channel.dc.onmessage = ({ data }) => {
    const n = new DataView(data).getUint32(0);
    seen[n] = 1;
    back = Math.max(back, n + 1);
    heard = performance.now();
    channel.inbox.length = 0;
    pump();
  };
  pump();
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      if (performance.now() - heard < 100) return;
      if (sent === count || channel.dc.readyState !== "open") {
        clearInterval(timer);
        resolve();
        return;
      }
      [back, heard] = [sent, performance.now()];
      pump();
    }, 20);
  });
  channel.dc.onmessage = null;
  return { sent, echoed: seen.reduce((x, y) => x + y, 0) };
}

// load sends count messages of size bytes, rate a second, and waits drain ms more
// for echoes, or, if all is true, until none has come for drain ms. latencies are sorted, in ms.
async function load(channel, { rate, size, count, drain, all }) {
  const sent = [];
  const seen = new Set();
  const latencies = [];
  let duplicates = 0;
  let heard = 0;
  const take = ({ data }) => {
    heard = performance.now();
    const n = new DataView(data).getUint32(0);
    if (seen.has(n)) return duplicates++;
    seen.add(n);
    latencies.push(performance.now() - sent[n]);
  };
  channel.dc.addEventListener("message", take);

  const message = new DataView(pattern(size).buffer);
  await pace(channel, { rate, count }, (n) => {
    message.setUint32(0, n);
    sent.push(performance.now());
    channel.send(message);
  });
  do await new Promise((resolve) => setTimeout(resolve, drain));
  while (all && performance.now() - heard < drain);
  channel.dc.removeEventListener("message", take);
  channel.inbox.length = 0;
  return { sent: sent.length, echoed: latencies.length, duplicates, latencies: latencies.sort((a, b) => a - b) };
}
