// The page's half of the game: connect opens a connection with the library of a server, and returns its send, and
// bulk, which orders chunks. What arrives goes to on.state and on.bulk.

const path = "/new_rtc_session";
const stateSize = 200;
const inputSize = 48;
const pingSize = 8;

const table = [
  { name: "input", mode: "sequenced", direction: "to-server" },
  { name: "state", mode: "unreliable", direction: "to-client" },
  { name: "bulk", mode: "reliable-ordered", direction: "to-client" },
];

const bytes = (b) => (b instanceof Uint8Array ? b : new Uint8Array(b));
const order = (chunks) => {
  const b = new Uint8Array(4);
  new DataView(b.buffer).setUint32(0, chunks);
  return b;
};
const opens = (target) =>
  new Promise((resolve, reject) => {
    target.addEventListener("open", resolve, { once: true });
    target.addEventListener("error", () => reject(new Error("it does not open")), { once: true });
  });

// sort gives a message to the handler for its size.
const sort = (on) => (b) => (b.length > stateSize ? on.bulk(b) : on.state(b));

const session = (links) => async (on, url) => {
  const { connect } = await import("/godwit.min.js");
  const conn = await connect(url, { channels: table, links: await links() });
  conn.on("state", (b) => on.state(b));
  conn.on("bulk", (b) => on.bulk(b));
  return {
    send: (b) => conn.send("input", b),
    bulk: (n) => conn.send("input", order(n)),
    close: () => conn.close(),
  };
};

// rtc connects the browser's own data channel. bulk is a reliable one.
async function rtc(on, url) {
  const pc = new RTCPeerConnection();
  const channel = pc.createDataChannel("", { negotiated: true, id: 0, ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  channel.onmessage = (e) => sort(on)(bytes(e.data));
  await pc.setLocalDescription();
  const response = await fetch(url, { method: "POST", body: pc.localDescription.sdp });
  const { answer, candidate } = await response.json();
  const opened = opens(channel);
  await pc.setRemoteDescription(answer);
  if (candidate) await pc.addIceCandidate(candidate);
  await opened;
  return {
    send: (b) => channel.send(b),
    async bulk(n) {
      const heavy = pc.createDataChannel("bulk");
      heavy.binaryType = "arraybuffer";
      heavy.onmessage = (e) => on.bulk(bytes(e.data));
      await opens(heavy);
      heavy.send(order(n));
    },
    close: () => pc.close(),
  };
}

async function webSocket(on, url) {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onmessage = (e) => sort(on)(bytes(e.data));
  await opens(socket);
  return { send: (b) => socket.send(b), bulk: (n) => socket.send(order(n)), close: () => socket.close() };
}

async function webTransport(on, url, hash) {
  const value = Uint8Array.from(atob(hash), (c) => c.charCodeAt(0));
  const transport = new WebTransport(url, { serverCertificateHashes: [{ algorithm: "sha-256", value }] });
  await transport.ready;
  const read = async (stream, f) => {
    const reader = stream.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      f(value);
    }
  };
  const end = () => {};
  read(transport.datagrams.readable, (b) => on.state(b)).catch(end);
  read(transport.incomingUnidirectionalStreams, (s) => read(s, (b) => on.bulk(b)).catch(end)).catch(end);
  const writer = transport.datagrams.writable.getWriter();
  return { send: (b) => writer.write(b), bulk: (n) => writer.write(order(n)), close: () => transport.close() };
}

async function socketIO(on) {
  const { io } = await import("/socket.io.esm.min.js");
  const socket = io();
  socket.on("state", (b) => on.state(bytes(b)));
  socket.on("bulk", (b) => on.bulk(bytes(b)));
  await new Promise((resolve, reject) => socket.on("connect", resolve).on("connect_error", reject));
  return {
    send: (b) => socket.emit("input", b),
    bulk: (n) => socket.emit("input", order(n)),
    close: () => socket.close(),
  };
}

async function colyseus(on) {
  const room = await new Colyseus.Client(location.origin).joinOrCreate("game");
  room.onMessage("state", (b) => on.state(bytes(b)));
  room.onMessage("bulk", (b) => on.bulk(bytes(b)));
  return {
    send: (b) => room.sendBytes("input", b),
    bulk: (n) => room.sendBytes("input", order(n)),
    close: () => room.leave(),
  };
}

const libraries = {
  datagrams: rtc,
  pion: rtc,
  channels: session(async () => ["webrtc"]),
  "channels-websocket": session(async () => ["websocket"]),
  "channels-webtransport": session(async () => [(await import("/godwit.webtransport.min.js")).webtransport]),
  coder: webSocket,
  ws: webSocket,
  "webtransport-go": webTransport,
  socketio: socketIO,
  colyseus,
};

// warm loads what a library needs, so that connecting does not.
globalThis.warm = async (name) => {
  if (name.startsWith("channels")) await import("/godwit.min.js");
  if (name === "channels-webtransport") await import("/godwit.webtransport.min.js");
  if (name === "socketio") await import("/socket.io.esm.min.js");
  if (name === "colyseus")
    await new Promise((resolve, reject) => {
      const script = document.createElement("script");
      Object.assign(script, { src: "/colyseus.js", onload: resolve, onerror: reject });
      document.head.append(script);
    });
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// open opens a connection. It returns the time in ms until the library says that it is open, and until a message that was sent
// then has come back.
globalThis.open = async ({ name, url, hash }) => {
  const on = { state() {}, bulk() {} };
  const begin = performance.now();
  const conn = await libraries[name](on, url, hash);
  const opened = performance.now();
  const heard = new Promise((resolve) => (on.state = (b) => b.length === pingSize && resolve()));
  const again = setInterval(() => conn.send(new Uint8Array(pingSize)), 1000); // it may be lost
  conn.send(new Uint8Array(pingSize));
  await heard;
  clearInterval(again);
  globalThis.game = { conn, on };
  return { open: opened - begin, echo: performance.now() - begin };
};

// watch plays for ms. It returns the time when it began and when it ended, and when each state was made and when it
// came, all in ms since 1970.
globalThis.watch = async (ms, hz) => {
  const { conn, on } = globalThis.game;
  const now = () => performance.timeOrigin + performance.now();
  const came = [];
  on.state = (b) => {
    if (b.length === stateSize) came.push([new DataView(b.buffer, b.byteOffset).getFloat64(0), now()]);
  };
  const inputs = setInterval(() => conn.send(new Uint8Array(inputSize)), 1000 / hz);
  await pause(1000); // until the first states have come
  const begin = now();
  await pause(ms);
  clearInterval(inputs);
  return { begin, end: now(), came };
};

// fetchBulk receives bulk, and returns the bytes a second that came in ms, after a time in which congestion control may
// find the rate.
globalThis.fetchBulk = async (warmup, ms) => {
  const { conn, on } = globalThis.game;
  let n = 0;
  on.bulk = (b) => (n += b.length);
  await conn.bulk(1 << 20);
  await pause(warmup);
  const [begin, before] = [performance.now(), n];
  await pause(ms);
  return ((n - before) / (performance.now() - begin)) * 1000;
};
