// @godwit/client. MIT licence. https://github.com/godwit-rtc/godwit

// src/close.ts
var CloseCode = {
  /** The program, or the player, has finished. */
  Normal: 0,
  /** The server's program has put this client out. */
  Kicked: 1,
  /** The server shuts down. Another one may serve: connect again. */
  Shutdown: 2,
  /** The other end broke the protocol; the reason says how. */
  ProtocolError: 3,
  /** The credentials have expired, or the server's program says that they are not valid any more. */
  Auth: 4,
  /** The same identity has connected once more. */
  Replaced: 5,
  /** Nothing arrived for the whole grace time, or large packets do not arrive. */
  Timeout: 6,
  /** The same identity is connected already. */
  Duplicate: 7,
  /** The server has sent this client to another one: CloseReason.seat. */
  Moved: 8,
  /** This client sent too many messages per second. */
  LimitMessages: 16,
  /** This client sent too many bytes per second. */
  LimitBytes: 17,
  /** This client sent a message larger than its channel allows. */
  LimitSize: 18,
  /** Too much was sent before the session was open. */
  LimitEarly: 19,
  /** So many requests arrived that there was no room to queue their rejections. */
  LimitRequests: 20,
  /** The first code of the program. */
  Program: 256
};

// src/error.ts
var GodwitError = class extends Error {
  constructor(code, message, cause) {
    super(`godwit: ${message}`, cause ? { cause } : {});
    this.code = code;
  }
};
var SendError = class extends GodwitError {
  constructor() {
    super(...arguments);
    this.name = "SendError";
  }
};
var ConnectError = class extends GodwitError {
  constructor(code, message, { status = 0, details = {}, retryAfter, cause } = {}) {
    super(code, message, cause);
    this.name = "ConnectError";
    this.status = status;
    this.details = details;
    this.retryAfter = retryAfter;
  }
};
function option(name, v, least) {
  if (!(v >= least)) throw new ConnectError("option", `${name} is ${v}: at least ${least}`);
}
function words(e) {
  try {
    return `${e instanceof Error ? e.message : e}`;
  } catch {
    return "no reason";
  }
}
var RequestError = class extends GodwitError {
  constructor() {
    super(...arguments);
    this.name = "RequestError";
  }
};

// src/bytes.ts
var utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
var nothing = new Uint8Array(0);
var text = (b) => utf8.decode(b);
function view(b) {
  if (b instanceof Uint8Array) return b;
  if (b instanceof ArrayBuffer) return new Uint8Array(b);
  if (ArrayBuffer.isView(b)) return new Uint8Array(b.buffer, b.byteOffset, b.byteLength);
  throw new SendError("type", `${typeof b} is not bytes: new TextEncoder().encode(text)`);
}
var bytesOf = (s) => new TextEncoder().encode(s);

// src/deferred.ts
var now = () => performance.now();
function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  return d;
}
function sleep(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, 6e4));
    signal?.addEventListener("abort", done);
  });
}
var longestBackoff = 1e4;
var firstBackoff = 500;
var unknownBackoff = 1e3;
function backoff() {
  let wait = firstBackoff / 2;
  return (least, most = longestBackoff) => {
    const share = 1 + Math.random() / 2;
    wait *= 2;
    return Math.max((least || 0) * share, Math.min(wait, most) * (share - 0.5));
  };
}

// src/varint.ts
var fewBytes = 1150;
var Writer = class {
  constructor() {
    this.b = nothing;
    this.n = 0;
  }
  byte(v) {
    this.b[this.n++] = v;
  }
  /** n bytes, big endian. */
  uint(v, n) {
    for (let unit = 256 ** (n - 1); unit >= 1; unit /= 256) this.byte(v / unit);
  }
  varint(v) {
    for (; v >= 128; v = Math.floor(v / 128)) this.byte(v % 128 + 128);
    this.byte(v);
  }
  /** v from start up to end. */
  bytes(v, start = 0, end = v.length) {
    if (end - start > fewBytes) {
      this.b.set(v.subarray(start, end), this.n);
      this.n += end - start;
    } else while (start < end) this.b[this.n++] = v[start++];
  }
};
var malformed = new Error("malformed");
function must(ok) {
  if (!ok) throw malformed;
}
var Reader = class {
  constructor(b = nothing) {
    this.b = b;
    this.at = 0;
  }
  more() {
    return this.at < this.b.length;
  }
  byte() {
    const v = this.b[this.at++];
    if (v === void 0) throw malformed;
    return v;
  }
  /** n bytes, big endian. */
  uint(n) {
    let v = 0;
    while (n--) v = v * 256 + this.byte();
    return v;
  }
  /** Reads a varint of at most 2^53 - 1. Throws if it could be shorter. */
  varint() {
    let v = 0;
    for (let unit = 1; ; unit *= 128) {
      const c = this.byte();
      v += (c & 127) * unit;
      must(v <= Number.MAX_SAFE_INTEGER && (c > 0 || unit === 1));
      if (c < 128) return v;
    }
  }
  skip(n) {
    must(n <= this.b.length - this.at);
    this.at += n;
  }
  take(n) {
    this.skip(n);
    return this.b.subarray(this.at - n, this.at);
  }
};

// src/direct.ts
var form = /^1 sha-256 [\dA-F]{2}(:[\dA-F]{2}){31} [a-z\d+/]{4,256} [a-z\d+/]{22,256}( (\[[\da-f:.]+\]|[\d.]+):\d+){1,8}$/i;
var typeAdmit = 1;
var typeRefused = 2;
var direct = () => !!(globalThis.crypto?.subtle && globalThis.RTCPeerConnection);
function inviteOf(target) {
  let invite = target;
  if (typeof target === "string" ? !/^e[\w-]{99,}=*$/.test(target) : target.href) return;
  let why = "the page must come over https, from localhost or from a file, and the browser must have WebRTC";
  try {
    must(direct());
    why = "it is malformed";
    if (typeof target === "string") {
      const b = atob(target.replace(/[-_]/g, (s) => "+/"["-_".indexOf(s)]).replace(/=/g, ""));
      invite = JSON.parse(text(Uint8Array.from(b, (c) => c.charCodeAt(0))));
    }
    const { v, addresses, fingerprint, ufrag, pwd } = invite;
    if (v > 1) why = `its version is ${v}: reload the page`;
    must(form.test([v, fingerprint, ufrag, pwd, ...addresses].join(" ")));
    return invite;
  } catch (cause) {
    throw new ConnectError("invite", `the invite cannot be used: ${why}`, { cause });
  }
}
var homeOf = ({ fingerprint, addresses }) => [
  fingerprint,
  ...addresses.map((a) => a.replace(/^\[?(.*?)\]?:(\d+)$/, "$1 $2"))
];
var fingerprintIn = (sdp) => /^a=fingerprint:(sha-256 .*)$/im.exec(sdp)?.[1] ?? "";
var answeredBy = (sdp) => [
  fingerprintIn(sdp),
  ...Array.from(sdp.matchAll(/ udp \d+ (\S+ \d+) /gi), ([, a]) => a)
];
async function answerTo(offer, [fingerprint = "", ...addresses], ufrag, pwd, query) {
  const { subtle } = crypto;
  const key = await subtle.importKey("raw", bytesOf(pwd), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = async (about, ...more) => new Uint8Array(await subtle.sign("HMAC", key, Uint8Array.of(...bytesOf(about), ...more)));
  const bytes = (print) => print.slice(8).split(":").map((b) => parseInt(b, 16));
  const proof = await mac("hello", ...bytes(fingerprintIn(offer)), ...bytes(fingerprint));
  const mid = /^a=mid:(.*)$/m.exec(offer)?.[1];
  const init = /^a=sctp-init:(.*)$/m.exec(offer)?.[1];
  if (init) {
    const b = atob(init);
    ufrag = ufrag[0].toLowerCase() + ufrag.slice(1) + btoa(b.slice(4, 8) + b.slice(16, 20)).slice(0, 11);
  }
  const lines = [
    "v=0",
    "o=- 0 1 IN IP4 0.0.0.0",
    "s=-",
    "t=0 0",
    `a=group:BUNDLE ${mid}`,
    "a=ice-lite",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    ...addresses.map((a, i) => `a=candidate:${i + 1} 1 udp ${2130706431 - 256 * i} ${a} typ host`),
    "a=end-of-candidates",
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `a=fingerprint:${fingerprint}`,
    "a=setup:active",
    `a=mid:${mid}`,
    "a=sctp-port:5000"
  ];
  if (init) lines.push(`a=sctp-init:${btoa(String.fromCharCode(...initOf(await mac("sctp"))))}`);
  return {
    type: "answer",
    sdp: `${lines.join("\r\n")}\r
`,
    admit: Uint8Array.of(typeAdmit, ...proof, ...bytesOf(query))
  };
}
function initOf([a, b, c, d, ...tsn]) {
  const tag = [a, b, c, d];
  if (!tag.some(Boolean)) tag[3] = 1;
  return Uint8Array.of(
    1,
    0,
    0,
    30,
    ...tag,
    0,
    8,
    0,
    0,
    255,
    255,
    255,
    255,
    ...tsn.slice(0, 4),
    192,
    0,
    0,
    4,
    128,
    8,
    0,
    6,
    192,
    130,
    0,
    0
  );
}

// src/event.ts
var ConnCloseEvent = class extends Event {
  constructor(why) {
    super("close");
    this.why = why;
  }
};
var ChannelEvent = class extends Event {
  constructor(type, channel) {
    super(type);
    this.channel = channel;
  }
};

// src/deflate.ts
var leastDeflated = 512;
var deflated = 1;
var firstByte = ({ compress }) => compress ? 1 : 0;
var slice = 4 << 10;
function stream(size, first, b, Stream, done) {
  const made = async () => {
    const out = new Uint8Array(size);
    let n = out[0] = first;
    let i = 0;
    const source = new ReadableStream({
      pull: (c) => i < b.length ? c.enqueue(b.slice(i, i += slice)) : c.close()
    });
    const reader = source.pipeThrough(new Stream("deflate-raw")).getReader();
    for (let part; part = (await reader.read()).value; n += part.length) out.set(part, n);
    return out.slice(0, n);
  };
  void made().catch(() => void 0).then(done);
}

// src/table.ts
var messageCost = 32;
var maxPriority = 7;
var maxWeight = 1e3;
var modes = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"];
var directions = ["both", "to-server", "to-client"];
var maxMessage = 8 << 20;
var maxChannels = 63;
var maxQueue = 64 << 20;
var maxName = 64;
var isReliable = (mode) => `${mode}`.startsWith("r");
var controlChannel = full({
  name: "control",
  mode: "reliable-ordered",
  maxMessage: 64 << 10,
  queueLimit: 256 << 10
});
function full(c) {
  const reliable = isReliable(c.mode);
  const largest2 = c.maxMessage || (reliable ? 256 << 10 : 16 << 10);
  return {
    ...c,
    direction: c.direction ?? "both",
    priority: c.priority ?? 0,
    guarantee: c.guarantee ?? 0,
    copies: c.copies ?? 0,
    compress: !!c.compress,
    schema: c.schema ?? "",
    maxMessage: largest2,
    queueLimit: c.queueLimit || Math.max(reliable ? 1 << 20 : 64 << 10, largest2 + firstByte(c) + messageCost),
    weight: c.weight || 1
  };
}
function fullTable(channels, schema = "") {
  if (!Array.isArray(channels)) throw new ConnectError("table", "channels is not an array");
  const table = [{ ...controlChannel, schema }, ...channels.map(full)];
  if (table.length > maxChannels + 1) throw new ConnectError("table", `${channels.length} channels: at most ${maxChannels}`);
  table.forEach((c, i) => {
    const why = table.findIndex((o) => o.name === c.name) < i ? "the name is taken" : wrong(c);
    if (why) throw new ConnectError("table", `channel "${c.name}": ${why}`);
  });
  return table;
}
var nextChannel = (others, c) => fullTable([...others, c]).at(-1);
function wrong(c) {
  const name = bytesOf(c.name).length;
  if (name < 1 || name > maxName || /[\0- \x7f]/.test(c.name)) return `a name has 1 to ${maxName} bytes and no spaces`;
  for (const [field, values] of [
    ["mode", modes],
    ["direction", directions]
  ]) {
    if (!values.includes(c[field])) return `${field} is not ${values.join(" or ")}`;
  }
  if (c.compress && !(isReliable(c.mode) && (c.direction === "to-server" || globalThis.DecompressionStream))) {
    return "compress needs a reliable channel and DecompressionStream";
  }
  const limits = [
    ["maxMessage", 1, maxMessage - firstByte(c)],
    ["queueLimit", c.maxMessage + firstByte(c) + messageCost, maxQueue],
    ["priority", 0, maxPriority],
    ["guarantee", 0, Number.MAX_SAFE_INTEGER],
    ["weight", 1, maxWeight],
    ["copies", -16, 16]
  ];
  for (const [field, least, most] of limits) {
    if (!(Number.isInteger(c[field]) && c[field] >= least && c[field] <= most)) return `${field} is not ${least} to ${most}`;
  }
  return;
}
function lineOf({ name, mode, direction, maxMessage: maxMessage2, queueLimit, compress, schema }, id, sending = "") {
  const more = `${sending}${compress ? " deflate" : ""}${schema && ` =${schema}`}`;
  return `${id} ${name} ${mode} ${direction} ${maxMessage2} ${queueLimit}${more}`;
}
var tableText = (table) => table.map((c, i) => i || c.schema ? `${lineOf(c, i)}
` : "").join("");
function openLine(c, id) {
  return lineOf(c, id, ` ${c.priority} ${Math.min(c.guarantee, 2 ** 31 - 1)} ${c.weight}`);
}
function parseLine(others, line, id) {
  const compress = line.endsWith(" deflate");
  const fields = line.split(" ");
  if (compress) fields.pop();
  const [, name, mode, direction, maxMessage2, queueLimit, priority, guarantee, weight] = fields;
  const sending = fields.length > 6 && { priority: Number(priority), guarantee: Number(guarantee), weight: Number(weight) };
  const c = {
    name,
    mode,
    direction,
    maxMessage: Number(maxMessage2),
    queueLimit: Number(queueLimit),
    compress,
    ...sending
  };
  const next = nextChannel(others, c);
  must((sending ? openLine : lineOf)(next, id) === line);
  return next;
}
function hash(text2) {
  let h = 0xcbf29ce484222325n;
  for (const c of bytesOf(text2)) h = BigInt.asUintN(64, (h ^ BigInt(c)) * 0x100000001b3n);
  return h.toString(16).padStart(16, "0");
}
function firstDifference(ours2, theirs) {
  const [a, b] = [ours2, theirs].map((t) => t.split(/\n| =|;(?=.)/));
  let i = 0;
  let name = "";
  for (; a[i] === b[i] && i < a.length; i++) name = a[i].split(" ")[1] ?? name;
  const x = a[i] || "nothing";
  const y = b[i] || "nothing";
  if ((x + y).includes(" ")) return `"${x}" here and "${y}" at the server`;
  const [path, mine] = x.split(":");
  const [other, yours] = y.split(":");
  return path === other ? `${name}.${path}: server ${yours}, client ${mine}` : `${name}: server ${y}, client ${x}`;
}

// src/inbox.ts
var Inbox = class {
  constructor(limit, dropOldest) {
    this.limit = limit;
    this.dropOldest = dropOldest;
    this.lost = 0;
    // messages that were dropped
    this.untaken = [];
    this.first = 0;
    // index of the oldest message that was not taken; at most half of untaken were taken
    this.bytes = 0;
  }
  /** Keeps b. If there is no room, drops the oldest messages, or b. */
  push(b) {
    this.untaken.push(b);
    this.bytes += b.length + messageCost;
    for (; this.bytes > this.limit; this.lost++) {
      if (this.dropOldest) this.take();
      else this.bytes -= this.untaken.pop().length + messageCost;
    }
  }
  /** Removes and returns the oldest message. */
  take() {
    const b = this.untaken[this.first];
    if (!b) return;
    this.bytes -= b.length + messageCost;
    if (2 * ++this.first > this.untaken.length) {
      this.untaken.splice(0, this.first);
      this.first = 0;
    }
    return b;
  }
};
function snapshotInbox({ untaken, first }) {
  return untaken.slice(first);
}
function restoreInbox(inbox, saved) {
  for (const b of saved) inbox.push(b);
}
var inboxOf = (c) => new Inbox(c.queueLimit, !isReliable(c.mode));
function run(f, b) {
  try {
    f(b);
  } catch (e) {
    queueMicrotask(() => {
      throw e;
    });
  }
}

// src/link.ts
var defaults = { rtt: 100, rate: 64 << 10, floor: 8 << 10, ceiling: 256 << 10 };
var maxBuffered = 2 * 1160;
var maxSocket = 4096;
var defaultTimeout = 15e3;
var stuckAfter = 500;
var carefulFor = 1e3;
var noTimes = () => ({ offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 });
var nobody = { datagram() {
}, drained() {
}, ended() {
} };
var Link = class {
  constructor(pc, pipe, times, ended, name = "webrtc", reliable = false) {
    this.pc = pc;
    this.pipe = pipe;
    this.times = times;
    this.name = name;
    this.reliable = reliable;
    this.waiting = 0;
    // bytes in the queue of the browser
    this.lastReady = 0;
    // when that queue last had room
    this.carefulUntil = 0;
    this.backlog = [];
    /** What its answer told of the server. */
    this.home = [];
    this.owner = { datagram: (b) => this.backlog.push(b), drained() {
    }, ended };
    pipe.binaryType = "arraybuffer";
    this.careful(0, maxBuffered / 2);
    let strange;
    pipe.onmessage = ({ data, timeStamp: at }) => {
      strange ??= !(Math.abs(now() - at) < 1e3);
      const b = typeof data === "string" ? data : new Uint8Array(data);
      if (this.admit) {
        if (b[0] === typeRefused) return this.owner.refused?.(b);
        this.admit = void 0;
      }
      this.owner.datagram(b, strange ? now() : at);
    };
    pipe.onbufferedamountlow = () => this.owner.drained();
    pipe.onclose = () => this.end();
    if (pc) pc.onconnectionstatechange = () => /failed|closed/.test(pc.connectionState) && this.end();
  }
  /** Sets the owner, which gets the datagrams that have arrived already. */
  attach(owner) {
    this.owner = owner;
    for (const b of this.backlog) owner.datagram(b, now());
    if (!/open|1/.test(this.pipe.readyState)) this.end();
  }
  /**
   * Returns whether the browser would send a datagram soon. Call it when there is one to send; sent is the size of the
   * one that was just sent.
   */
  ready(t, sent = 0) {
    const waiting = this.waiting = sent ? this.waiting + sent : this.pipe.bufferedAmount;
    if (this.reliable) return waiting < maxSocket;
    if (waiting > maxBuffered && t - this.lastReady > stuckAfter) this.careful(t + carefulFor, 0);
    else if (this.carefulUntil && t >= this.carefulUntil) this.careful(0, maxBuffered / 2);
    if (waiting > (this.carefulUntil ? 0 : maxBuffered)) return false;
    this.lastReady = t;
    return true;
  }
  /** Returns whether a datagram may wait in the browser for seconds. */
  slow() {
    return this.carefulUntil > 0;
  }
  careful(until, threshold) {
    this.carefulUntil = until;
    this.pipe.bufferedAmountLowThreshold = threshold;
  }
  /**
   * Returns whether the browser has taken the datagram. If not, the channel is closing or the queue of the browser is
   * full, and the datagram is lost.
   */
  send(b) {
    try {
      if (this.admit) this.pipe.send(this.admit);
      this.pipe.send(b);
      return true;
    } catch {
      return false;
    }
  }
  end() {
    const { owner } = this;
    this.close();
    owner.ended();
  }
  /** Ends the link. The owner gets no event. */
  close() {
    this.owner = nobody;
    (this.pc ?? this.pipe).close(1e3);
  }
};
function foreign(cause) {
  throw new ConnectError("foreign", "the answer is not SDP: check the path, and what stands before the server", {
    cause,
    retryAfter: 0
  });
}
async function openLink({ label = "godwit", init = { negotiated: true, id: 0 }, exchange: exchange2, timeout = defaultTimeout, signal }, times = noTimes()) {
  option("timeout", timeout, 0);
  let last = now();
  const lap = () => -last + (last = now());
  const late = AbortSignal.timeout(Math.min(timeout, 1e9));
  const either = AbortSignal.any([signal, late]);
  signal.throwIfAborted();
  const { promise: opened, resolve, reject } = deferred();
  opened.catch(() => {
  });
  either.onabort = () => reject(either.reason);
  let link;
  let server;
  const noPath = () => server ? `no UDP from ${server}` : "no UDP";
  try {
    const pc = new RTCPeerConnection();
    const channel = pc.createDataChannel(label, { ordered: false, maxRetransmits: 0, ...init });
    link = new Link(
      pc,
      channel,
      times,
      () => reject(new ConnectError("link", `${noPath()}: the browser or the network may block it`, { retryAfter: 0 }))
    );
    channel.onopen = resolve;
    pc.oniceconnectionstatechange = () => {
      if (pc.iceConnectionState === "connected") times.ice ||= lap();
    };
    await pc.setLocalDescription();
    times.offer = lap();
    const answer = await exchange2(pc.localDescription.sdp, either);
    times.http = lap();
    if (!answer) throw new ConnectError("link", "the server has no WebRTC");
    link.admit = answer.admit;
    link.home = answeredBy(`${answer.sdp}`);
    server = link.home[1];
    await Promise.all([pc.setRemoteDescription(answer).catch(foreign), opened]);
    times.transport = lap();
    return link;
  } catch (e) {
    link?.close();
    signal.throwIfAborted();
    if (late.aborted) {
      const why = server ? `${noPath()}: its port may be closed, or ${link.admit ? "the invite was used or has expired" : "Config.RTC.Public is wrong"}` : `no answer in ${timeout} ms`;
      throw new ConnectError("timeout", why, { cause: e, retryAfter: 0 });
    }
    throw e instanceof ConnectError ? e : new ConnectError("link", link ? words(e) : "no WebRTC: the browser has none or disables it", {
      cause: e
    });
  }
}
var webSocket = {
  name: "websocket",
  lossless: true,
  dial: ({ address, ticket }) => new WebSocket(address.replace("http", "ws"), ["godwit.1", `ticket.${ticket}`])
};
function openOffered({ name, lossless: lossless2, dial }, offer, times, signal) {
  const { promise, resolve, reject } = deferred();
  const began = now();
  const fail = (cause) => reject(new ConnectError("link", `no ${name} opens: a proxy may not pass it on`, { cause, retryAfter: 0 }));
  try {
    const pipe = dial(offer);
    const link = new Link(void 0, pipe, times, fail, name, lossless2);
    pipe.onopen = () => {
      signal.onabort = null;
      times.transport = now() - began;
      resolve(link);
    };
    signal.onabort = () => {
      link.close();
      fail(signal.reason);
    };
  } catch (e) {
    fail(e);
  }
  return promise;
}

// src/options.ts
var allLinks = ["webrtc", "websocket"];
var rank = (links, name) => links.findIndex((l) => (typeof l === "string" ? l : l.name) === name);
var lossless = (l) => l === "websocket" || l.lossless;
function checkLinks(links) {
  for (const l of Array.isArray(links) ? links : [[links]])
    if (!allLinks.includes(l) && !Object(l).dial) throw new ConnectError("option", `links has ${l}: only ${allLinks}`);
}
async function fetched(f, code = "token", name = "option token") {
  try {
    return await f();
  } catch (cause) {
    if (cause instanceof ConnectError) throw cause;
    throw new ConnectError(code, `the ${name} has thrown: ${words(cause)}`, { cause, retryAfter: 0 });
  }
}

// src/frame.ts
var frameControl = 0;
var frameMessage = 1;
var frameFragment = 2;
var frameBare = 3;
var controlPadding = 0;
var controlPing = 1;
var controlClose = 2;
var controlExtension = 32;
var controlGivenUp = 32;
var pieceSize = 1024;
var maxFragmentHeader = 1 + 8 + 2 + 4;
var maxCloseText = 256;
var pieces = (n) => Math.max(1, Math.ceil(n / pieceSize));
var pieceCost = (size, i) => Math.min(pieceSize, size - i * pieceSize) + maxFragmentHeader;
function appendPiece(w, ch, bare, { id, b, start, len: size }, i) {
  const kind = size > pieceSize ? frameFragment : bare ? frameBare : frameMessage;
  w.byte((kind << 6) + ch);
  if (kind !== frameBare) w.varint(id);
  if (kind === frameFragment) w.varint(i);
  w.varint(size);
  w.bytes(b, start + i * pieceSize, start + Math.min(size, (i + 1) * pieceSize));
}
function appendGivenUp(w, n) {
  w.byte(controlGivenUp);
  w.byte(1);
  const at = w.n;
  w.varint(n);
  w.b[at - 1] = w.n - at;
}
function appendClose(w, code, reason) {
  w.byte(controlClose);
  w.varint(code);
  w.varint(reason.length);
  w.bytes(reason);
}

// src/packet.ts
var maxPacket = 1150;
var wireVersion = 1;
var versionShift = 4;
var flagNumber = 3;
var flagAck = 1 << 2;
var flagGaps = 1 << 3;
var maxRanges = 32;
var delayUnit = 0.256;
var maxRange = 4;
var maxDelay = 1 << 14;
var Packet = class extends Reader {
  constructor() {
    super(...arguments);
    this.number = 0;
    // truncated
    this.numberLen = 0;
    this.frames = 0;
    this.eliciting = false;
    // it must be acknowledged
    // The ack block.
    this.hasAck = false;
    this.largest = 0;
    this.delay = 0;
    this.ranges = [];
    // first, then gap and length alternately
    // The frame.
    this.kind = 0;
    this.chan = 0;
    // or the control kind
    this.id = 0;
    this.index = 0;
    this.fullSize = 0;
    this.code = 0;
    this.len = 0;
  }
  // size of the payload, which ends at at; padding and pings have none
  /** The payload of the frame: a view of the datagram. */
  get payload() {
    return this.b.subarray(this.at - this.len, this.at);
  }
  /**
   * Parses all of b, and returns false if b is malformed. Afterwards next reads one frame after the other; if there is
   * only one, it has been read already.
   */
  parse(b) {
    this.b = b;
    this.at = 0;
    try {
      const flags = this.byte();
      must(flags >> versionShift === wireVersion);
      this.number = this.uint(this.numberLen = (flags & flagNumber) + 1);
      this.hasAck = (flags & flagAck) > 0;
      if (this.hasAck) this.ack(flags & flagGaps);
      else must(!(flags & flagGaps) && this.more());
      const start = this.at;
      this.eliciting = false;
      for (this.frames = 0; this.more(); this.frames++) {
        this.next();
        this.eliciting ||= this.kind !== frameControl || this.chan !== controlPadding;
      }
      if (this.frames > 1) this.at = start;
      return true;
    } catch {
      return false;
    }
  }
  ack(gaps) {
    this.largest = this.uint(2);
    this.delay = this.varint();
    must(this.delay <= maxDelay);
    this.ranges = [this.varint()];
    if (!gaps) return;
    let n = this.byte();
    must(n > 0 && n < maxRanges);
    for (n *= 2; n--; ) this.ranges.push(this.varint());
  }
  /** Reads the next frame. */
  next() {
    const head = this.byte();
    this.kind = head >> 6;
    this.chan = head & 63;
    if (this.kind === frameControl) return this.control();
    if (this.kind !== frameBare) this.id = this.varint();
    const fragment = this.kind === frameFragment;
    this.index = fragment ? this.varint() : 0;
    this.fullSize = this.varint();
    must(
      fragment ? this.fullSize > pieceSize && this.fullSize <= maxMessage && this.index < pieces(this.fullSize) : this.fullSize <= pieceSize
    );
    this.skip(this.len = Math.min(pieceSize, this.fullSize - this.index * pieceSize));
  }
  control() {
    const close = this.chan === controlClose;
    if (this.chan <= controlPing) return;
    must(close || this.chan >= controlExtension);
    if (close) this.code = this.varint();
    this.skip(this.len = this.varint());
    if (close) must(this.len <= maxCloseText && text(this.payload) >= "");
  }
};
function appendHeader(w, number) {
  const n = number < 1 << 15 ? 2 : 3;
  w.byte((wireVersion << versionShift) + n - 1);
  w.uint(number, n);
}
function appendAck(w, largest2, delay, ranges, end) {
  w.uint(largest2, 2);
  w.varint(delay);
  w.varint(ranges[0]);
  const count = w.n++;
  let n = 1;
  for (; n < ranges.length && w.n + maxRange <= end; n += 2) {
    w.varint(ranges[n]);
    w.varint(ranges[n + 1]);
  }
  w.b[0] |= flagAck;
  w.b[count] = n >> 1;
  if (n > 1) w.b[0] |= flagGaps;
  else w.n--;
}
function expand(truncated, n, expected) {
  const win = 256 ** n;
  const v = expected - expected % win + truncated;
  if (v + win / 2 <= expected) return v + win;
  return v > expected + win / 2 && v >= win ? v - win : v;
}

// src/race.ts
var headStart = 500;
var headTrips = 3;
var fallenFor = 36e5;
var firstSeek = 3e4;
var longestSeek = 6e5;
function fallen(host, at) {
  const key = `godwit ${host}`;
  try {
    if (at) localStorage.setItem(key, `${at}`);
    else if (at === 0) localStorage.removeItem(key);
    const age = Date.now() - Number(localStorage.getItem(key));
    return age >= 0 && age < fallenFor;
  } catch {
    return false;
  }
}
async function race(links, calm, host, exchange2, second, signal, rival, timeout = defaultTimeout) {
  const times = noTimes();
  const answered = deferred();
  const settled2 = new AbortController();
  const either = AbortSignal.any([signal, AbortSignal.timeout(Math.min(timeout, 1e9))]);
  let answer = void 0;
  let link = void 0;
  let failure = void 0;
  const ask = async (offer, until) => {
    const t = now();
    answer = await exchange2(offer, until);
    times.http = now() - t;
    answered.resolve();
    return answer.sdp;
  };
  signal.throwIfAborted();
  const rtc = links.includes("webrtc") ? openLink({ exchange: ask, timeout, signal: rival }, times) : (async () => {
    throw new ConnectError("link", "no link opens");
  })();
  const tried = rtc.then(
    (opened) => link = opened,
    (e) => failure = e
  ).then(() => settled2.abort());
  await Promise.race([tried, answered.promise]);
  const others = links.flatMap((l) => l === "webrtc" ? [] : l === "websocket" ? webSocket : l);
  if (failure?.code === "link" && !answer && others[0]) {
    try {
      await ask("", either);
    } catch (cause) {
      signal.throwIfAborted();
      if (cause.code === "request") return rtc;
      if (!either.aborted) throw cause;
      throw new ConnectError("timeout", `no answer in ${timeout} ms`, { cause, retryAfter: 0 });
    }
  }
  const offered = others.flatMap((type) => {
    const offer = answer?.links.find((l) => l.type === type.name);
    return offer ? () => openOffered(type, offer, { ...times, ice: 0 }, AbortSignal.any([either])) : [];
  });
  if (!offered[0]) return rtc;
  if (calm && links[0] === "webrtc" && !fallen(host)) {
    const head = Math.max(headStart, headTrips * times.http);
    await sleep(head - times.http, settled2.signal);
    if (times.ice) await sleep(head, settled2.signal);
  }
  if (link || either.aborted) return rtc;
  const all = [rtc, ...offered.map((f) => f())];
  let first;
  try {
    first = await Promise.any(all);
  } catch {
    signal.throwIfAborted();
    return failure?.retryAfter === void 0 ? all[1] : rtc;
  }
  if (link || answer?.sdp) fallen(host, link ? 0 : Date.now());
  for (const one of all)
    one.then(
      (late) => {
        if (late === first) return;
        if (late === link) fallen(host, 0);
        second(late);
      },
      () => {
      }
    );
  return first;
}
async function before(own2, head, rest, second) {
  const settled2 = new AbortController();
  const won = new AbortController();
  const tried = own2.then(
    () => won.abort(),
    () => {
    }
  );
  void tried.then(() => settled2.abort());
  await sleep(head, settled2.signal);
  if (won.signal.aborted) return own2;
  const asked = rest(won.signal);
  const link = await Promise.race([own2.catch(() => asked), asked]);
  for (const one of [own2, asked])
    one.then(
      (late) => late === link || second(late),
      () => {
      }
    );
  return link;
}

// src/control.ts
var typeHello = 1;
var typeWelcome = 2;
var typeRequest = 3;
var typeReply = 4;
var typeAck = 5;
var typeReject = 6;
var typeHere = 7;
var typeOpen = 8;
var typeOpened = 9;
var typeShut = 10;
var typeMove = 11;
var typeExtension = 128;
var maxName2 = 64;
var maxText = 256;
var maxHello = 1024;
var maxMove = 4096;
var maxPayload = (64 << 10) - 1 - 4 - 1 - maxName2;
function parseControl(b) {
  const r = new Reader(b);
  const type = r.byte();
  const c = { type, id: 0, session: 0n, words: "", payload: nothing, most: -1, maxQueue: 0, next: ["", ""] };
  if (type >= typeExtension) return c;
  must(type > typeHello && type <= typeMove && type !== typeHere);
  if (type === typeWelcome) {
    c.session = (BigInt(r.uint(4)) << 32n) + BigInt(r.uint(4));
    c.payload = r.take(16);
    c.id = r.uint(4);
    r.take(4);
    if (r.more()) c.most = r.byte();
    if (c.most > 0) c.maxQueue = r.uint(4);
    try {
      const [ufrag, pwd] = [text(r.take(r.byte())), text(r.take(r.byte()))];
      if (pwd) c.next = [ufrag, pwd];
    } catch {
    }
    return c;
  }
  const line = type === typeOpen || type === typeMove;
  if (!line) c.id = r.uint(type < typeOpen ? 4 : 1);
  if (type === typeRequest) {
    const n = r.byte();
    must(n > 0 && n <= maxName2);
    c.words = text(r.take(n));
  }
  c.payload = b.subarray(r.at);
  const said2 = line || type === typeReject;
  must(c.payload.length <= (type === typeMove ? maxMove : said2 ? maxText : maxPayload));
  if (said2) c.words = text(c.payload);
  must(!line || c.words !== "");
  return c;
}
var takesOpen = 1;
var takesSending = 2;
var takesShut = 4;
var takesOwn = 8;
var takesMove = 16;
function hello(message) {
  if (message.length > maxHello) throw new SendError("size", `hello has ${message.length} bytes: at most ${maxHello}`);
  return Uint8Array.of(
    typeHello,
    message.length >> 8,
    message.length,
    ...message,
    takesOpen + takesSending + takesShut + takesOwn + takesMove
  );
}
var numbered = (type, id, rest = []) => Uint8Array.from([type, id >>> 24, id >>> 16, id >>> 8, id, ...rest]);

// src/ack.ts
var maxAckDelay = 20;
var ackEvery = 4096;
var receivedWindow = 4096;
var lossSpan = 64;
var Received = class {
  constructor() {
    this.next = 0;
    // largest number that has arrived, plus one
    this.eliciting = 0;
    // packets since the last ack block that must be acknowledged
    this.waiting = 0;
    // bytes of those packets, on a reliable link
    this.due = Infinity;
    // when an ack block must leave
    this.loss = 0;
    // share of the peer's packets that do not arrive, smoothed
    this.ranges = [];
    // of the last ack block
    this.told = 0;
    // the peer knows which packets below this have arrived
    this.news = Infinity;
    // smallest number that has arrived since the last ack block
    // What has arrived of the window, as ascending runs: the first number of each run, then its last number plus one.
    this.edges = [0, 0];
    this.lastAt = 0;
    // when the largest number arrived
    this.spanStart = 0;
    this.spanCame = 0;
  }
  /** Returns whether a packet arrives for the first time: false for a packet that is older than the window. */
  fresh(n) {
    return this.next - n <= receivedWindow && this.below(n) % 2 === 0;
  }
  /** Returns the number of edges that are n or less. */
  below(n) {
    let i = this.edges.length;
    while (this.edges[i - 1] > n) i--;
    return i;
  }
  /** Records a fresh packet. */
  mark(t, n, eliciting) {
    const { edges } = this;
    const gap = n !== this.next;
    if (gap) {
      const i = this.below(n);
      const grows = +(edges[i - 1] === n);
      const joins = +(edges[i] === n + 1);
      edges.splice(i - grows, grows + joins, ...[n, n + 1].slice(grows, 2 - joins));
    } else {
      edges[edges.length - 1] = n + 1;
    }
    if (n >= this.next) {
      this.next = n + 1;
      this.lastAt = t;
      while (edges[1] <= n + 1 - receivedWindow) edges.splice(0, 2);
    }
    this.news = Math.min(this.news, n);
    this.told = Math.min(this.told, n);
    this.measure(n);
    if (!eliciting) return;
    this.eliciting++;
    this.due = gap ? t : Math.min(this.due, t + maxAckDelay);
  }
  measure(n) {
    if (n < this.spanStart) return;
    this.spanCame++;
    const span = this.next - this.spanStart;
    if (span < lossSpan) return;
    this.loss += (Math.max(0, 1 - this.spanCame / span) - this.loss) / 4;
    this.spanStart = this.next;
    this.spanCame = 0;
  }
  /** Appends an ack block, with the newest ranges first. */
  append(w, t, end) {
    const { edges } = this;
    const low = Math.max(this.told, this.next - receivedWindow);
    let start = this.next;
    this.ranges = [];
    for (let i = edges.length - 1; edges[i] > low && this.ranges.length < 2 * maxRanges - 1; i -= 2) {
      const end2 = edges[i];
      if (start > end2) this.ranges.push(start - end2 - 1);
      start = Math.max(low, edges[i - 1]);
      this.ranges.push(end2 - start - 1);
    }
    appendAck(w, this.next - 1, Math.min(maxDelay, Math.floor((t - this.lastAt) / delayUnit)), this.ranges, end);
  }
  /** Records that an ack block was sent. */
  said() {
    this.eliciting = this.waiting = 0;
    this.due = this.news = Infinity;
  }
  /**
   * Records that the peer knows which packets below n have arrived, because it has acknowledged a packet that said so.
   * Packets that arrived since then may be below n, too.
   */
  confirmed(n) {
    this.told = Math.min(Math.max(this.told, n), this.news);
  }
};

// src/congestion.ts
var bandwidthRounds = 10;
var minRound = 50;
var minRTTAge = 1e4;
var shortWait = 10;
var longWait = 40;
var maxPacketTime = 40;
var maxChance = 200;
var calmRounds = 15;
var spareShare = 0.85;
var leastWindow = 8 << 10;
var queueTime = 100;
var max = Math.max;
var min = Math.min;
function congestion(start, rate, floor, ceiling, reliable = false) {
  let startup = true;
  let minRTT = 0;
  let minAt = 0;
  let probing = 0;
  let delivered = 0;
  const recent = Array(bandwidthRounds).fill(0);
  let rounds = 0;
  let usual = 0;
  let jitter = 0;
  let last = 0;
  let lastButOne = 0;
  let stalled = 0;
  let calm = 0;
  let resume2 = 0;
  let drainUntil = 0;
  let before2 = 0;
  let waited = 0;
  let chance = 0;
  let slowRate = 0;
  let slowDelivery = 0;
  let refRate = 0;
  let refDelivery = 0;
  let roundEnd = 0;
  let roundAt = 0;
  let roundDelivered = 0;
  let roundSent = 0;
  let limited = false;
  let shortest = Infinity;
  let steady = 0;
  let tokens = maxPacket;
  let spare = maxPacket;
  let refilled = start;
  const set = (r) => rate = min(max(r, floor), ceiling);
  set(rate);
  const pace = () => probing ? max(reliable ? usual : rate, floor) / 2 : rate;
  function excess() {
    const packet = maxPacket / rate * 1e3;
    const byChance = min(max(4 * jitter, min(chance, 10 * jitter)), maxChance);
    const allowed = minRTT + shortWait + max(min(packet, maxPacketTime), byChance);
    const e = steady - allowed;
    return limited ? e : min(e, shortest - allowed - minRTT / 2 - longWait);
  }
  function judge(t, arrivals, loss) {
    const best = max(...recent);
    if (limited || arrivals > best) recent[rounds++ % bandwidthRounds] = arrivals;
    refresh(t);
    if (reliable) {
      usual = [...recent].sort((a, b) => b - a)[1];
      if (limited) set(1.25 * max(arrivals, best));
      return;
    }
    const e = excess();
    const arrived = min(rate, max(floor, (e <= longWait ? max(arrivals, best) : arrivals) / (1 - min(loss, 0.5))));
    if (probing) return;
    if (resume2) {
      if (roundAt < drainUntil) return;
      learn();
      set(resume2);
      resume2 = 0;
    } else if (startup && e > 0) {
      startup = false;
      drain(t, arrived, 0.5, 0.85);
      before2 = 0;
    } else if (startup) {
      double(arrivals, best, arrived);
    } else if (e > longWait) {
      drain(t, arrived, 0.4, 0.7);
    } else if (e > 0) {
      drain(t, arrived, 0.7, 0.9);
    } else if (limited && follows(arrivals)) {
      grow();
    } else if (limited) {
      set(0.7 * rate);
      calm = 0;
    }
  }
  function grow() {
    calm++;
    chance -= chance / 64;
    set(rate * (1.02 + 0.01 * min(max(calm - calmRounds, 0), 6)) + min(600, rate / 50));
  }
  function double(arrivals, best, arrived) {
    if (!limited) return;
    stalled = arrivals < best * 1.25 ? stalled + 1 : 0;
    startup = stalled < 3 && rate < ceiling;
    set(startup ? min(2 * rate, max(rate, 3 * arrived)) : arrived);
  }
  function drain(t, arrived, share, then) {
    before2 = rate;
    waited = steady - minRTT;
    drainUntil = t + minRTT + minRound + waited / (1 - share);
    resume2 = max(then * arrived, floor);
    set(share * arrived);
    calm = 0;
  }
  const worse = () => before2 > 8 * floor && steady - minRTT > 2 * waited + 4 * longWait;
  function learn() {
    const left = steady - minRTT;
    if (left < waited / 2 || left > 2 * waited || waited > 10 * jitter || jitter < 2e3 * maxPacket / before2) {
      chance /= 2;
      return;
    }
    chance = max(chance, left);
    resume2 = before2;
  }
  function follows(arrivals) {
    if (!slowRate) {
      slowRate = refRate = rate;
      slowDelivery = refDelivery = arrivals;
    }
    slowRate += (rate - slowRate) / 8;
    slowDelivery += (arrivals - slowDelivery) / 8;
    const grown = slowRate >= 1.25 * refRate;
    if (grown && slowDelivery < 1.05 * refDelivery) {
      slowRate *= 0.7;
      slowDelivery = 0.7 * min(slowDelivery, refDelivery);
      return false;
    }
    if (grown || slowRate < refRate) {
      refRate = slowRate;
      refDelivery = slowDelivery;
    }
    return true;
  }
  function refresh(t) {
    let fresh2 = 0;
    if (probing) {
      if (t < probing) return;
      probing = 0;
      fresh2 = min(shortest, 1e4);
    } else if (minRTT && t - minAt > minRTTAge) {
      if (limited) probing = t + (reliable ? 2 * (minRTT + queueTime) : max(2 * minRTT, 200));
      else if (steady) fresh2 = shortest;
    }
    if (!fresh2) return;
    minRTT = fresh2;
    minAt = t;
  }
  return {
    rate: () => rate,
    // Twice what the path holds, and slack: three packets, and more if many packets are lost. If acknowledgements are
    // lost, too, a sender whose window is full of packets that have arrived would otherwise wait for one timeout after
    // the other.
    window: (rtt, loss) => reliable ? max(leastWindow, usual * (minRTT + queueTime) / 1e3) : rate * (2 * (minRTT || rtt) + 30) / 1e3 + (3 + 80 * max(0, min(loss, 0.5) - 0.3)) * maxPacket,
    sample(t, d) {
      shortest = min(shortest, d);
      steady = max(steady, min(d, last, lastButOne));
      if (last) jitter += (Math.abs(d - last) - jitter) / 16;
      lastButOne = last;
      last = d;
      if (minRTT && d > minRTT) return;
      minRTT = d;
      minAt = t;
    },
    acked(t, largest2, next, bytes, loss) {
      const d = t - roundAt;
      delivered += bytes;
      if (roundAt) {
        const early = !reliable && limited && d > minRound / 2 && (resume2 ? worse() : excess() > 0);
        if (!early && (largest2 < roundEnd || d < minRound)) return;
        limited &&= reliable || roundSent > 0.7 * pace() * d / 1e3;
        judge(t, (delivered - roundDelivered) / d * 1e3, loss);
      }
      roundEnd = next;
      roundAt = t;
      roundDelivered = delivered;
      roundSent = steady = 0;
      limited = false;
      shortest = Infinity;
    },
    mayLeave(t) {
      const more = pace() * (t - refilled) / 1e3;
      tokens = min(max(maxPacket + 1, pace() / 1e3), tokens + more);
      spare = min(2 * maxPacket, spare + spareShare * more);
      refilled = t;
      return tokens > 0;
    },
    limit: () => void (limited = true),
    sent(n) {
      roundSent += n;
      tokens -= n;
      spare = max(-2 * maxPacket, spare - n);
    },
    ready: () => refilled + max(0, (1 - tokens) / pace() * 1e3),
    spare: () => max(0, spare)
  };
}

// src/path.ts
var leastBudget = 1060;
var retryWide = 6e4;
var fallTurns = 32;
var stuckTurns = 80;
function run2(needed) {
  let least = 0;
  let turns = 0;
  let since = 0;
  return ({ number, len: size }, lost) => {
    if (!least) {
      least = size;
      since = number;
      turns = 0;
    }
    if (turns % 2 === lost && number >= since) {
      turns++;
      since = number;
    }
    if (!lost) return size >= least && !(least = 0);
    least = Math.min(least, size);
    return turns >= needed;
  };
}

// src/loss.ts
var packetThreshold = 3;
var maxPacketThreshold = 256;
var maxProbes = 10;
var darkAfter = 5;
var tinyPacket = 64;
var lossMemory = 64;
var minVariance = 5;
var maxPTO = 250;
var lossyShare = 0.01;
var Recovery = class {
  // 0 before the first sample
  /** guess is the round trip until the first sample. On a reliable link nothing is lost, so there is no timeout. */
  constructor(guess, reliable = false) {
    this.reliable = reliable;
    this.lossAt = Infinity;
    // when the next packet is old enough to be lost
    this.lastSent = 0;
    // when the last packet that must be acknowledged was sent, or the last timeout
    this.timeouts = 0;
    // timeouts in a row without an acknowledgement
    this.probes = 0;
    // packets that may leave now although congestion control says no
    this.threshold = packetThreshold;
    // packetThreshold, or more if the link reorders
    this.share = 0;
    // share of packets lost, smoothed
    // The size of packets that the link carries.
    this.budget = maxPacket;
    this.stuck = false;
    // packets within the least budget do not arrive
    this.fell = -1;
    // when the last packet was sent before the budget fell: packets up to then do not raise it
    this.retryAt = 0;
    // when one packet tries the larger budget
    this.careful = 0;
    // next packets that must be small, so that the content of lost large ones arrives
    this.tiny = false;
    // the next packet is tiny, to show whether only larger packets do not arrive
    this.large = run2(fallTurns);
    // run of packets above the least budget
    this.medium = run2(stuckTurns);
    this.minimum = 0;
    this.latest = this.smoothed = guess;
    this.variance = guess / 2;
  }
  /** Adds a measurement d, in which delay is the time that the packet waited at the peer, according to the peer. */
  sample(d, delay) {
    if (!this.minimum) {
      this.latest = this.smoothed = this.minimum = d;
      this.variance = d / 2;
      return;
    }
    this.minimum = Math.min(this.minimum, d);
    if (d - delay >= this.minimum) d -= delay;
    this.latest = d;
    this.variance = (3 * this.variance + Math.abs(this.smoothed - d)) / 4;
    this.smoothed = (7 * this.smoothed + d) / 8;
  }
  /** Returns how long to wait for an acknowledgement after n timeouts. */
  pto(n) {
    const d = this.smoothed + Math.max(4 * this.variance, minVariance) + maxAckDelay;
    return Math.min(d * 1.5 ** n, Math.max(maxPTO, this.smoothed * 1.25));
  }
  /**
   * Returns when to probe because no acknowledgement has arrived. On a link that loses packets, two timeouts in a row
   * mean little.
   */
  ptoAt() {
    return this.reliable ? Infinity : this.lastSent + this.pto(this.share > lossyShare ? Math.max(0, this.timeouts - 2) : this.timeouts);
  }
  /** Returns the age after which a packet is lost if a newer one is acknowledged. */
  lossDelay() {
    return Math.max(Math.max(this.smoothed, this.latest) * 9 / 8, 1);
  }
  /** Returns whether the peer does not answer: two timeouts in a row, because the probes of one may be lost. */
  silent() {
    return this.timeouts > 1;
  }
  /** Returns the largest size of the next packet. A probe is small, so that it arrives on every link. */
  limit(t) {
    return this.tiny ? tinyPacket : this.careful || this.probes ? leastBudget : t < this.retryAt ? this.budget : maxPacket;
  }
  /** Records a packet that was sent and must be acknowledged. */
  sent({ sentAt: at, len: size }) {
    this.lastSent = at;
    if (!this.tiny) this.probes = Math.max(0, this.probes - 1);
    this.careful = Math.max(0, this.careful - 1);
    this.tiny = false;
    if (size > this.budget) this.retryAt = at + retryWide;
  }
  acked(p) {
    if (p.eliciting) this.share -= this.share / lossMemory;
    this.medium(p, 0);
    if (p.sentAt > this.fell && this.large(p, 0)) this.budget = maxPacket;
  }
  lost(p) {
    const { len: size } = p;
    this.share += (1 - this.share) / lossMemory;
    if (size > this.budget) return;
    if (size > leastBudget) {
      this.careful++;
      if (!this.large(p, 1)) return;
      this.budget = leastBudget;
      this.fell = this.lastSent;
    } else if (size > leastBudget / 2) this.stuck ||= this.medium(p, 1);
  }
  /**
   * Records a timeout, and sets the number of probes: at least two, and so many that with a chance of 95 % one of them
   * is answered, if both directions lose what the worse one lost recently; and one more for each timeout before. After
   * darkAfter timeouts it is one: the link carries nothing, and more packets would not help.
   */
  timeout(t, lossIn) {
    const fails = 1 - (1 - Math.max(this.share, lossIn)) ** 2;
    let n = 2;
    for (let all = fails * fails; n < maxProbes && all > 0.05; all *= fails) n++;
    this.probes = this.timeouts > darkAfter ? 1 : Math.min(n + this.timeouts, maxProbes);
    this.tiny = this.timeouts++ > 0;
    this.lastSent = t;
  }
  /** Records that a packet that was considered lost arrived n packets behind another one. */
  reordered(n) {
    this.threshold = Math.max(this.threshold, Math.min(maxPacketThreshold, n));
  }
};

// src/stats.ts
var channelStats = () => ({
  messagesOut: 0,
  messagesIn: 0,
  bytesOut: 0,
  bytesIn: 0,
  wireOut: 0,
  wireIn: 0,
  dropped: 0,
  stale: 0,
  duplicates: 0
});

// src/queue.ts
var pieceUnsent = 0;
var pieceFlying = 1;
var pieceLost = 2;
var pieceAcked = 3;
var cost = (m) => m.len + messageCost;
var sendWindow = 4096;
var Sender = class {
  constructor(cfg, id, allowed) {
    this.cfg = cfg;
    this.id = id;
    this.allowed = allowed;
    this.queue = [];
    // messages not sent yet; the first may be sent in part
    this.waiting = [];
    // messages sent whole whose fate is not known yet, oldest first
    this.keyed = /* @__PURE__ */ new Map();
    // the newest message with each key
    this.cost = 0;
    // bytes of queueLimit that both lists use
    this.lost = 0;
    // pieces of waiting and of the first in queue that must be sent again
    this.wanted = Infinity;
    // cost of the message that send has refused last; Infinity if there was room since
    this.nextID = 0;
    this.active = false;
    // it may have a piece to send
    this.shut = false;
    // the peer has not opened the channel yet: messages wait
    this.pass = 0;
    // bytes sent, divided by weight: the channel with the smallest is next
    this.tokens = 0;
    // bytes left of the guaranteed share
    this.counted = channelStats();
    this.refilled = 0;
    this.reliable = isReliable(cfg.mode);
    this.bare = cfg.mode === "unreliable";
  }
  /**
   * Returns the queued message that a new one with this key replaces. A message that was sent in part is not replaced,
   * or a stream of large messages on a slow link would never deliver any.
   */
  replaced(key) {
    const m = this.keyed.get(key);
    return m?.sent ? void 0 : m;
  }
  /** Returns the size in bytes of the largest message that send accepts now, or -1 if it accepts none. */
  free() {
    const { maxMessage: maxMessage2, queueLimit } = this.cfg;
    if (!this.allowed) return -1;
    const room = queueLimit - this.cost - messageCost - firstByte(this.cfg);
    return this.reliable ? Math.max(-1, Math.min(maxMessage2, room)) : maxMessage2;
  }
  /** Returns the piece that is sent next, and gives its message an id. */
  next() {
    if (this.lost) return (this.waiting.find((m2) => m2.lost) ?? this.queue[0]).pieces.find((q) => q.phase === pieceLost);
    const m = this.queue[0];
    const oldest = this.waiting[0];
    if (!m) return;
    if (!m.sent) {
      if (m.held || oldest && this.reliable && this.nextID - oldest.id >= sendWindow) return;
      m.id = this.nextID;
    }
    return m.pieces[m.sent];
  }
  /**
   * Returns how many copies of a message may be sent: so many that with a chance of 1 in 10,000 all of them are lost,
   * but 2 to 6.
   */
  copies(loss) {
    return this.cfg.copies || Math.min(6, Math.max(2, Math.ceil(Math.log(1e-4) / Math.log(loss) - 1)));
  }
  /**
   * Adds the tokens of the time since the last call to the guaranteed share, at most those of a quarter of a second,
   * and returns whether any are left.
   */
  share(t) {
    const rate = this.cfg.guarantee;
    this.tokens = Math.min(Math.max(rate / 4, 2 * maxPacket), this.tokens + rate * (t - this.refilled) / 1e3);
    this.refilled = t;
    return this.tokens > 0;
  }
};
function snapshotSender({ nextID, reliable, waiting, queue }, shift2) {
  const message = (m) => {
    const acked = m.pieces.map((q) => q.phase === pieceAcked);
    return [m.id, m.sent, acked, m.key, m.expiry + shift2, m.b.subarray(m.start, m.start + m.len)];
  };
  return [nextID, reliable ? [...waiting, ...queue].map(message) : []];
}

// src/outbox.ts
var maxCopyable = 512;
var staleAge = 250;
var slabSize = 16 << 10;
var maxLookback = 64;
var Outbox = class {
  constructor() {
    this.senders = [];
    // by channel; numbers without one are holes
    this.backlog = false;
    // a piece did not fit when pick was called last
    this.quiet = false;
    // unreliable messages are not sent, because the link would delay them
    this.retransmits = 0;
    this.copies = 0;
    this.stirred = false;
    // a channel may have become active since hasWork found none
    this.slab = new Writer();
    // has the bytes of the next messages
    this.byPriority = [];
    this.passes = Array(maxPriority + 1).fill(0);
    /**
     * Is called when the queue of channel ch has room for the message that send has refused last, once after such
     * refusals. It must not call the engine.
     */
    this.room = (_ch) => {
    };
    /** Is called when a message that was being deflated may leave. */
    this.wake = () => {
    };
  }
  /** Adds a channel; allowed says that this end may send on it. */
  open(c, allowed, id = this.senders.length) {
    const s = this.senders[id] = new Sender(c, id, allowed);
    this.sortSenders();
    return s;
  }
  /** Removes a channel that has no message. */
  remove(id) {
    delete this.senders[id];
    this.sortSenders();
  }
  sortSenders() {
    this.byPriority = Object.values(this.senders).sort((a, b) => a.cfg.priority - b.cfg.priority);
  }
  /** Queues a copy of b as a message on channel ch, or throws a SendError. */
  send(t, ch, b, { key = 0, deadline = Infinity, receipt } = {}) {
    const s = this.senders[ch];
    const { name, maxMessage: maxMessage2, queueLimit } = s.cfg;
    const first = firstByte(s.cfg);
    const plain = b.length;
    const size = plain + first;
    if (!s.allowed) throw new SendError("direction", `channel "${name}" is to-client: only the server sends on it`);
    if (plain > maxMessage2)
      throw new SendError("size", `channel "${name}": ${plain} bytes, and maxMessage is ${maxMessage2}: raise it at both ends`);
    if (deadline <= t) throw new SendError("deadline", `channel "${name}": the deadline has passed: it is in ms from now`);
    const room = queueLimit - size - messageCost;
    let old = s.replaced(key);
    if (s.cost - (old ? cost(old) : 0) > room) {
      if (s.reliable) {
        s.wanted = size + messageCost;
        throw new SendError(
          "budget",
          `channel "${name}": its queueLimit of ${queueLimit} bytes is reached: send after receipts, or raise it at both ends`
        );
      }
      while (s.cost > room) this.drop(s);
      old = s.replaced(key);
    }
    const slab = size > slabSize ? new Writer() : this.slab;
    if (slab.n + size > slab.b.length) {
      slab.b = new Uint8Array(Math.max(size, slabSize));
      slab.n = 0;
    }
    const m = {
      s,
      list: s.queue,
      over: false,
      id: 0,
      key,
      b: slab.b,
      start: slab.n,
      len: size,
      expiry: deadline,
      queued: t,
      plain,
      held: !!first && plain >= leastDeflated,
      receipt,
      pieces: [],
      sent: 0,
      left: 0,
      lost: 0
    };
    if (first) slab.byte(0);
    slab.bytes(b);
    cut(m);
    s.cost += cost(m);
    if (key || s.cfg.mode === "sequenced") s.keyed.set(key, m);
    if (old) {
      s.queue.splice(s.queue.indexOf(old), 0, m);
      this.finish(old, "replaced");
    } else {
      s.queue.push(m);
      this.activate(s);
    }
    if (!m.held) return;
    stream(plain, 1, m.b.subarray(m.start + 1, m.start + m.len), globalThis.CompressionStream, (b2) => {
      if (m.over || !m.held) return;
      m.held = false;
      if (b2) {
        s.cost -= m.len - b2.length;
        m.b = b2;
        m.start = 0;
        m.len = b2.length;
        cut(m);
      }
      this.activate(s);
      this.wake();
    });
  }
  /**
   * Drops the oldest message of an unreliable channel. A message that was sent in part is kept if there is another one.
   */
  drop(s) {
    const [head, next] = s.queue;
    this.finish(head?.sent && next || head || s.waiting[0], "dropped");
  }
  /** Removes a message and reports its fate. */
  finish(m, fate) {
    const { s, list } = m;
    if (!m.sent) s.counted.dropped++;
    this.report(m, fate);
    s.cost -= cost(m);
    s.lost -= m.lost;
    if (s.keyed.get(m.key) === m) s.keyed.delete(m.key);
    m.over = true;
    if (list[0] === m) list.shift();
    else list.splice(list.indexOf(m), 1);
    if (s.cost + s.wanted > s.cfg.queueLimit) return;
    s.wanted = Infinity;
    this.room(s.id);
  }
  /** Calls the receipt of a message. Only the first call has an effect. */
  report(m, fate) {
    m.receipt?.(fate, m.sent > 0);
    m.receipt = void 0;
  }
  /**
   * Drops the queued unreliable messages that are older than staleAge. It is called when the peer does not answer, and
   * when it answers again: the messages that waited would arrive late, in a burst.
   */
  outdate(t) {
    for (const { reliable, queue } of this.byPriority) {
      if (reliable) continue;
      for (const m of [...queue]) if (t - m.queued > staleAge) this.finish(m, "expired");
    }
  }
  // ---- which piece goes next: guaranteed shares, then priority, then weight -------------------------------------
  activate(s) {
    this.stirred = true;
    if (s.active || s.shut) return;
    s.active = true;
    s.pass = Math.max(s.pass, this.passes[s.cfg.priority]);
  }
  /**
   * Returns the piece that an active channel sends next. Drops queued messages whose deadline has passed, from the
   * first on, but no reliable message that was sent in part.
   */
  next(s, t) {
    if (this.quiet && !s.reliable) return;
    for (let m; (m = s.queue[0]) && t >= m.expiry && !(m.sent && s.reliable); ) this.finish(m, "expired");
    s.active = s.lost + s.queue.length > 0;
    return s.next();
  }
  /**
   * Returns the piece to send, among the channels whose next piece fits into space bytes: first the channels whose
   * guaranteed share is not used up, then by priority, then by weight.
   */
  pick(t, space) {
    let best;
    let bestRank = 0;
    this.backlog = false;
    for (const s of this.byPriority) {
      const q = s.active && this.next(s, t);
      if (!q) continue;
      if (pieceCost(q.m.len, q.i) > space) {
        this.backlog = true;
        continue;
      }
      const rank2 = s.cfg.priority - (s.share(t) ? maxPriority + 1 : 0);
      if (best && (rank2 > bestRank || rank2 === bestRank && s.pass >= best.m.s.pass)) continue;
      best = q;
      bestRank = rank2;
    }
    return best;
  }
  hasWork(t) {
    if (!this.stirred) return false;
    this.stirred = false;
    for (const s of this.byPriority) {
      if (s.active && this.next(s, t)) return this.stirred = true;
      this.stirred ||= s.active;
    }
    return false;
  }
  /** Appends pieces up to end, which are then part of packet p. */
  fill(w, end, t, p) {
    for (let q; q = this.pick(t, end - w.n); ) {
      const { m } = q;
      const { s } = m;
      const start = w.n;
      appendPiece(w, s.id, s.bare, m, q.i);
      s.tokens = Math.max(-maxPacket, s.tokens - w.n + start);
      this.passes[s.cfg.priority] = s.pass += (w.n - start) * maxWeight / s.cfg.weight;
      if (s.reliable || m.receipt) p.pieces.push(q);
      this.pieceSent(q, p);
    }
  }
  /**
   * Appends copies up to end, which repair a loss before an end can detect it: small reliable messages that are not
   * acknowledged are sent again in the free space of packets that leave anyway. One channel after the other: first
   * messages that were sent before overdue and should be acknowledged by now, oldest first, then others, newest first.
   */
  repeat(w, end, overdue, p, loss) {
    for (const s of this.byPriority) {
      const budget = s.copies(loss);
      if (!s.reliable || budget < 1) continue;
      for (const m of s.waiting.slice(0, maxLookback)) {
        const q = m.pieces[0];
        if (q.sentAt > overdue || !this.copy(w, end, q, p)) continue;
        q.sentAt = p.sentAt;
        q.sentCopies = 0;
      }
      for (const m of s.waiting.slice(-maxLookback).reverse()) {
        const q = m.pieces[0];
        if (q.sentCopies < budget) this.copy(w, end, q, p);
      }
    }
  }
  /**
   * Appends a copy of a message if the message is small, is not acknowledged or lost, has no other copy in this packet,
   * and fits. Returns whether it did.
   */
  copy(w, end, q, p) {
    const { m } = q;
    if (m.len > maxCopyable || q.phase !== pieceFlying || q.number === p.number) return false;
    if (w.n + pieceCost(m.len, 0) > end) return false;
    appendPiece(w, m.s.id, false, m, 0);
    q.sentCopies++;
    q.number = p.number;
    p.pieces.push(q);
    this.copies++;
    return true;
  }
  // ---- the states of pieces ------------------------------------------------------------------------------------------
  /** Records that a new or lost piece was sent in packet p. */
  pieceSent(q, p) {
    const { m } = q;
    const { s } = m;
    if (q.phase === pieceLost) {
      m.lost--;
      s.lost--;
      this.retransmits++;
    } else if (m.sent++ === 0) {
      s.nextID++;
      s.counted.messagesOut++;
      s.counted.bytesOut += m.plain;
      s.counted.wireOut += m.len;
    }
    q.phase = pieceFlying;
    q.sentCopies = 0;
    q.number = p.number;
    q.sentAt = p.sentAt;
    if (m.sent < m.pieces.length || m.list !== s.queue) return;
    if (!s.reliable && !m.receipt) return this.finish(m, "lost");
    s.queue.shift();
    m.list = s.waiting;
    s.waiting.push(m);
  }
  /**
   * Records that packet number, which carried the piece, is considered lost. Returns false if that changes nothing: the
   * piece has arrived, or a newer packet carries it.
   */
  pieceLost(q, number) {
    const { m } = q;
    const { s } = m;
    if (m.over || q.phase !== pieceFlying || q.number !== number) return false;
    if (s.reliable) {
      q.phase = pieceLost;
      m.lost++;
      s.lost++;
      this.activate(s);
    } else {
      this.finish(m, "lost");
    }
    return true;
  }
  /**
   * Records that a packet has arrived, and finishes messages that have arrived whole. An ordered message stays until
   * all messages before it have arrived: until then the peer may hold it, and its cost must count at both ends.
   */
  acked(p) {
    for (const q of p.pieces) {
      const { m } = q;
      const { s } = m;
      if (m.over || q.phase === pieceAcked) continue;
      if (q.phase === pieceLost) {
        m.lost--;
        s.lost--;
      }
      q.phase = pieceAcked;
      if (--m.left) continue;
      this.report(m, "delivered");
      if (s.cfg.mode !== "reliable-ordered") this.finish(m, "delivered");
      else while (s.waiting[0]?.left === 0) this.finish(s.waiting[0], "delivered");
    }
    p.pieces = [];
  }
  /** Records that a packet is considered lost. */
  lost(p) {
    for (const q of p.pieces) this.pieceLost(q, p.number);
  }
  /** Records that a packet will never be acknowledged, because its link has ended. */
  forgotten(p) {
    for (const q of p.pieces) this.pieceLost(q, q.number);
  }
  /**
   * Marks the reliable pieces of a packet as lost, so that they are sent again; the packet may still arrive. Returns
   * false if there was none.
   */
  again(p) {
    return p.pieces.filter((q) => q.m.s.reliable && this.pieceLost(q, p.number)).length > 0;
  }
  /** Returns whether every reliable message has arrived. */
  settled() {
    return this.byPriority.every((s) => !s.reliable || !s.cost);
  }
  /** Returns the number of bytes of reliable messages that have not arrived, without those of channel 0. */
  unsettled() {
    return this.senders.slice(1).reduce((n, s) => n + (s.reliable ? s.cost - messageCost * (s.queue.length + s.waiting.length) : 0), 0);
  }
  /** Drops all messages; their fate is "abandoned". */
  abandon() {
    for (const s of this.byPriority) {
      s.wanted = Infinity;
      for (const m of [...s.waiting, ...s.queue]) this.finish(m, "abandoned");
    }
  }
};
function cut(m) {
  m.pieces = [];
  m.left = pieces(m.len);
  for (let i = 0; i < m.left; i++) m.pieces.push({ m, i, phase: pieceUnsent, sentCopies: 0, number: 0, sentAt: 0 });
}
function restoreSender(outbox, t, ch, [nextID, messages], shift2) {
  const s = outbox.senders[ch];
  for (const [id, sent, acked, key, deadline, b] of messages) {
    outbox.send(t, ch, b.subarray(firstByte(s.cfg)), { key });
    const m = s.queue.at(-1);
    m.b = b;
    m.start = 0;
    m.held = false;
    m.id = id;
    m.sent = sent;
    m.expiry = (deadline ?? Infinity) - shift2;
    for (const q of m.pieces.slice(0, sent)) {
      q.phase = acked[q.i] ? pieceAcked : pieceFlying;
      if (acked[q.i]) m.left--;
      else outbox.pieceLost(q, q.number);
    }
    if (sent < m.pieces.length) continue;
    m.list = s.waiting;
    s.waiting.push(s.queue.pop());
  }
  s.nextID = nextID;
}

// src/reassembly.ts
var maxPartials = 32;
var partialAge = 3e3;
var Receiver = class {
  constructor(cfg, allowed, counted, message, drop) {
    this.cfg = cfg;
    this.allowed = allowed;
    this.counted = counted;
    this.message = message;
    this.drop = drop;
    this.bytesHeld = 0;
    // bytes of queueLimit that partials use
    this.base = 0;
    // reliable: all messages before it have arrived. Sequenced: the newest that was delivered, plus one. Unreliable: 0
    /** What has arrived of messages from base on; null for a message that was delivered. Unreliable: oldest first. */
    this.partials = /* @__PURE__ */ new Map();
  }
  /**
   * Counts a piece of an unreliable message that arrives too late. Returns false, and counts nothing, if the piece must
   * be processed nevertheless: a reliable message is never too late.
   */
  outdated() {
    const late = this.allowed && !isReliable(this.cfg.mode);
    if (late) this.counted.stale++;
    return late;
  }
  /** Processes a piece of a message. Returns why it was refused and must be sent again, or undefined. */
  receive(t, f) {
    const { mode, maxMessage: maxMessage2 } = this.cfg;
    const bare = f.kind === frameBare;
    const whole = f.kind !== frameFragment;
    if (!this.allowed) return "direction";
    if (whole && bare !== (mode === "unreliable")) return "kind";
    if (f.fullSize > maxMessage2 + firstByte(this.cfg)) return "too-large";
    if (isReliable(mode)) return this.receiveReliable(t, f, whole);
    if (bare) this.deliver(f.payload);
    else if (f.id < this.base) this.counted.stale++;
    else if (whole) this.supersede(f.id, f.payload);
    else this.fragment(t, f);
    return;
  }
  deliver(b) {
    this.counted.messagesIn++;
    this.counted.wireIn += b.length;
    this.message(b);
  }
  /** Delivers a reliable message. Messages that were sent before it may still be missing. */
  done(id, b) {
    this.deliver(b);
    this.partials.set(id, null);
  }
  /** Delivers a sequenced message, and drops incomplete messages that are older. */
  supersede(id, b) {
    this.deliver(b);
    this.base = id + 1;
    if (this.partials.size)
      for (const p of this.partials.values()) {
        if (p.id > id) continue;
        this.counted.stale++;
        this.remove(p);
      }
  }
  /** Adds an incomplete message. have says which pieces have arrived. */
  add(t, id, body, have = []) {
    const p = { id, left: pieces(body.length) - have.filter(Boolean).length, have, assembled: body, first: t };
    this.partials.set(id, p);
    this.bytesHeld += body.length + messageCost;
    return p;
  }
  remove(p) {
    this.partials.delete(p.id);
    this.bytesHeld -= p.assembled.length + messageCost;
  }
  /** Stores a piece, and returns whether the message is complete. */
  store(p, f) {
    if (p.have[f.index]) {
      this.counted.duplicates++;
      return false;
    }
    p.have[f.index] = true;
    if (f.kind === frameFragment) p.assembled.set(f.payload, f.index * pieceSize);
    return --p.left === 0;
  }
  /** Processes a fragment of an unreliable or sequenced message. */
  fragment(t, f) {
    const p = this.partials.get(f.id) ?? this.admit(t, f);
    if (p.assembled.length !== f.fullSize) return this.drop("mismatch");
    if (!this.store(p, f)) return;
    this.remove(p);
    if (this.cfg.mode === "sequenced") this.supersede(p.id, p.assembled);
    else this.deliver(p.assembled);
  }
  /** Adds an incomplete message. Drops older ones to make room. */
  admit(t, f) {
    for (const p of this.partials.values()) {
      if (this.partials.size < maxPartials && !this.full(f)) break;
      this.remove(p);
      this.drop("evicted");
    }
    return this.add(t, f.id, new Uint8Array(f.fullSize));
  }
  full(f) {
    return this.bytesHeld + f.fullSize + messageCost > this.cfg.queueLimit;
  }
  /** Drops incomplete unreliable messages that are too old, and returns when the next one is too old. */
  age(t) {
    if (isReliable(this.cfg.mode)) return Infinity;
    for (const p of this.partials.values()) {
      if (p.first + partialAge > t) return p.first + partialAge;
      this.remove(p);
      this.drop("aged");
    }
    return Infinity;
  }
  /**
   * Processes a whole reliable message or a fragment of one. There is always room for it if the peer has the same
   * table; otherwise its packet must not be acknowledged.
   */
  receiveReliable(t, f, whole) {
    const ordered = this.cfg.mode === "reliable-ordered";
    if (whole && f.id === this.base && !this.partials.size) {
      this.base++;
      this.deliver(f.payload);
      return;
    }
    let p = this.partials.get(f.id);
    if (f.id >= this.base + sendWindow) return "window";
    if (f.id < this.base || p === null || p?.left === 0) {
      this.counted.duplicates++;
      return;
    }
    if (p && p.assembled.length !== f.fullSize) return "mismatch";
    if (whole && (!ordered || f.id === this.base)) {
      this.done(f.id, f.payload);
    } else {
      if (!p && this.full(f)) return "budget";
      p ??= this.add(t, f.id, whole ? f.payload : new Uint8Array(f.fullSize));
      if (!this.store(p, f)) return;
      if (!ordered) {
        this.remove(p);
        this.done(p.id, p.assembled);
      }
    }
    for (let q; (q = this.partials.get(this.base)) !== void 0 && !q?.left; this.base++) {
      this.partials.delete(this.base);
      if (!q) continue;
      this.remove(q);
      this.deliver(q.assembled);
    }
    return;
  }
};
function snapshotReceiver({ base, cfg, partials }) {
  const all = isReliable(cfg.mode) ? [...partials] : [];
  return [base, all.map(([id, p]) => [id, p && [p.have, p.assembled]])];
}
function restoreReceiver(r, t, [base, partials]) {
  r.base = base;
  for (const [id, p] of partials) {
    if (p) r.add(t, id, p[1], p[0]);
    else r.partials.set(id, null);
  }
}

// src/sent.ts
var packetFlying = 0;
var packetAcked = 1;
var packetLost = 2;
var maxFlight = 8192;
var Flight = class {
  constructor() {
    this.next = 0;
    this.bytes = 0;
    // bytes of eliciting packets in flight
    this.count = 0;
    // number of those packets
    this.packets = [];
  }
  /** Returns the number of the oldest record. */
  base() {
    return this.next - this.packets.length;
  }
  /** Returns the record of packet n, if there is one. */
  at(n) {
    return this.packets[n - this.base()];
  }
  /** Returns a record for the packet that is sent next. It is not part of the flight yet. */
  open(t) {
    return { number: this.next, sentAt: t, len: 0, phase: packetFlying, eliciting: false, closing: false, ackTop: 0, pieces: [] };
  }
  /** Adds the record that open returned. */
  push(p) {
    this.next++;
    this.packets.push(p);
    if (!p.eliciting) return;
    this.bytes += p.len;
    this.count++;
  }
  /** Drops all records. Numbers continue. */
  forget() {
    this.packets.length = this.bytes = this.count = 0;
  }
  /** Sets the phase of a packet, which is not in flight any more. */
  land(p, phase) {
    if (p.eliciting && p.phase === packetFlying) {
      this.bytes -= p.len;
      this.count--;
    }
    p.phase = phase;
  }
  /**
   * Drops the oldest records that have no use any more: packets that were acknowledged, and packets that were sent
   * before old and are not in flight.
   */
  trim(old) {
    for (let p; p = this.packets[0]; this.packets.shift()) {
      if (p.phase !== packetAcked && (p.sentAt >= old || p.phase === packetFlying && p.eliciting)) return;
    }
  }
};

// src/mux.ts
var closeRepeats = 6;
var ackSlack = 5;
var closeInterval = 20;
var closePatience = closeInterval * (2 ** closeRepeats - 1);
var Mux = class {
  constructor(t, config, events) {
    this.config = config;
    this.events = events;
    this.outbox = new Outbox();
    this.heard = 0;
    // when the last packet arrived
    this.gap = 0;
    // between the last two packets
    this.slow = false;
    // the link below delays what it gets
    this.counts = { packetsOut: 0, packetsIn: 0, bytesOut: 0, bytesIn: 0, links: -1 };
    this.receivers = [];
    // by channel; numbers without one are holes
    this.drops = {};
    this.reliable = false;
    // the link neither loses nor reorders: nothing is sent twice
    this.staleBefore = [];
    // by channel: frames of earlier packets are of a channel that was closed
    this.flight = new Flight();
    this.largestAcked = 0;
    this.sampled = -1;
    // when the newest packet that measured a round trip was sent
    this.awake = -1;
    // when the program ran again after a sleep
    this.askedAt = 0;
    // when askForAck last added a ping
    this.ping = false;
    // a ping is due
    this.work = false;
    // the pacer has held a packet back
    this.ageAt = Infinity;
    // when an incomplete message may be too old
    // The end.
    this.byPeer = false;
    // the peer has closed
    this.closing = nothing;
    // text of this end, once ending
    this.code = 0;
    this.ending = false;
    // this end has closed
    this.givenUp = 0;
    // bytes of reliable messages of this end that were given up, once one end has closed
    this.missed = 0;
    // bytes that the peer gave up, according to the peer
    this.closeLeft = 0;
    // close frames to send
    this.closeAt = Infinity;
    // time of the next close frame
    this.closeGap = closeInterval;
    this.in = new Packet();
    this.out = new Writer();
    for (const c of config.table) this.open(c);
    this.relink(t, config.rtt);
  }
  /** Adds a channel. The peer must do the same before a packet with the channel reaches it. */
  open(c, id = this.receivers.length) {
    const { mine } = this.config;
    const { counted } = this.outbox.open(c, c.direction === "both" || c.direction === mine, id);
    this.receivers[id] = new Receiver(
      c,
      c.direction !== mine,
      counted,
      (b) => this.events.message(id, b),
      (why) => this.drop(why)
    );
  }
  /**
   * Ends the receiving half of a channel on which the peer sends nothing more. Frames of packets that were sent before
   * are ignored from now on, whatever channel has the number when they arrive. Frames of later packets are refused until
   * open is called.
   */
  stopReceiving(id) {
    delete this.receivers[id];
    this.staleBefore[id] = this.received.next;
  }
  /**
   * Continues on a new link to the same peer, which must do the same. What the peer has not acknowledged is sent again,
   * and nothing is delivered twice. Unreliable messages that were sent on the old link and have not arrived are lost.
   * reliable says that the new link neither loses nor reorders.
   */
  relink(t, rtt, reliable = false) {
    const { rate, floor, ceiling } = this.config;
    this.counts.links++;
    for (const p of this.flight.packets) this.outbox.forgotten(p);
    this.received = new Received();
    this.staleBefore = [];
    this.flight = new Flight();
    this.reliable = reliable;
    this.loss = new Recovery(rtt, reliable);
    this.cc = congestion(t, rate, floor, ceiling, reliable);
    this.largestAcked = 0;
    this.sampled = this.awake = -1;
    this.heard = t;
    this.ping = false;
    if (this.closeLeft) this.closeAt = t;
  }
  /** Queues a copy of b as a message on channel ch. append sends it. */
  send(t, ch, b, o) {
    if (this.over()) throw new SendError("closed", "the session has ended: conn.closed says why");
    this.outbox.send(t, ch, b, o);
  }
  // ---- packets out -----------------------------------------------------------------------------------------------
  /** Writes the next packet into b and returns its length, or 0 if there is nothing to send now. */
  append(t, b) {
    const { flight, out: w, received, loss } = this;
    for (; flight.packets.length >= maxFlight; flight.packets.shift()) {
      const old = flight.packets[0];
      if (old.phase === packetFlying && old.eliciting) this.losePacket(old);
    }
    if (this.idle(t)) return 0;
    const content = this.mayContent(t);
    if (t < received.due && !this.over() && !content) return 0;
    const limit = loss.limit(t);
    const p = flight.open(t);
    w.b = b;
    w.n = 0;
    appendHeader(w, p.number);
    if (received.eliciting) {
      received.append(w, t, this.wants(t) ? limit - maxFragmentHeader - pieceSize : limit);
      p.ackTop = received.next;
    }
    const body = w.n;
    if (this.over()) {
      p.closing = this.appendClose(w, t);
    } else if (content) {
      this.appendContent(w, limit, t, p);
      if (w.n === body) loss.probes = 0;
    }
    p.eliciting = w.n > body;
    if (!p.eliciting) {
      if (t < received.due) return 0;
      this.askForAck(w, t, p);
    }
    p.len = w.n;
    if (p.ackTop) received.said();
    if (p.eliciting) {
      loss.sent(p);
      this.cc.sent(w.n);
    }
    flight.push(p);
    this.counts.packetsOut++;
    this.counts.bytesOut += w.n;
    return w.n;
  }
  /** Returns whether append would return 0. */
  idle(t) {
    this.work = false;
    this.outbox.quiet = this.slow && this.loss.silent();
    return t < this.received.due && !this.over() && !this.wants(t);
  }
  /** Returns whether congestion control lets a packet leave. */
  mayContent(t) {
    const { cc, loss } = this;
    const paced = cc.mayLeave(t);
    const window = this.flight.bytes < cc.window(loss.smoothed, loss.share);
    if (loss.probes || window && paced) return true;
    if (this.wants(t)) {
      cc.limit();
      this.work = window;
    }
    return false;
  }
  /** Returns whether there may be more to send than an ack block. */
  wants(t) {
    return this.ping || this.loss.probes > 0 || this.outbox.hasWork(t);
  }
  /** Appends pieces of messages, and copies into the free space. */
  appendContent(w, end, t, p) {
    const { outbox, loss } = this;
    const body = w.n;
    outbox.fill(w, end, t, p);
    if (this.ping && w.n === body) w.byte(controlPing);
    this.ping = false;
    if (w.n === body || outbox.backlog || loss.share <= lossyShare) return;
    const overdue = t - loss.lossDelay() - maxAckDelay;
    outbox.repeat(w, Math.min(end, w.n + this.cc.spare()), overdue, p, loss.share);
  }
  /**
   * Adds a ping to a packet with only an ack block, so that the packet must be acknowledged: once in a round trip, and
   * only if the block has eight ranges or more besides the first. After the acknowledgement the block becomes shorter.
   */
  askForAck(w, t, p) {
    if (this.received.ranges.length < 17 || t < this.askedAt + this.loss.smoothed || this.over()) return;
    this.askedAt = t;
    p.eliciting = true;
    w.byte(controlPing);
  }
  /** Appends the close frame if its time has come. */
  appendClose(w, t) {
    if (t < this.closeAt) return false;
    this.closeAt = --this.closeLeft ? t + this.closeGap : Infinity;
    this.closeGap *= 2;
    if (this.givenUp) appendGivenUp(w, this.givenUp);
    appendClose(w, this.code, this.closing);
    return true;
  }
  // ---- packets in ------------------------------------------------------------------------------------------------
  /** Processes a datagram. A malformed datagram is counted and dropped. */
  receive(t, b) {
    const { in: p, received } = this;
    if (b.length > maxPacket || !p.parse(b)) return this.drop("malformed");
    const number = expand(p.number, p.numberLen, received.next);
    if (!received.fresh(number)) return this.drop("duplicate");
    if (p.hasAck && !this.receiveAck(t, p)) return this.drop("ack");
    this.counts.packetsIn++;
    this.counts.bytesIn += b.length;
    this.gap = t - this.heard;
    this.heard = t;
    let ok = true;
    for (let n = p.frames; n--; ) {
      if (p.frames > 1) p.next();
      ok = this.receiveFrame(t, number, p) && ok;
    }
    if (!ok) return this.drop("refused");
    received.mark(t, number, p.eliciting);
    if (this.reliable && p.eliciting && (received.waiting += b.length) >= ackEvery) received.due = t;
    if (this.byPeer && received.eliciting) received.due = t;
  }
  /** Processes a frame of packet number, and returns whether the packet may be acknowledged. */
  receiveFrame(t, number, f) {
    if (f.kind === frameControl) {
      if (f.chan === controlClose) this.receiveClose(f);
      else if (f.chan === controlGivenUp) this.receiveGivenUp(f);
      else if (f.chan >= controlExtension) this.drop("unknown-frame");
      return true;
    }
    const done = this.over();
    const r = this.receivers[f.chan];
    const old = number < this.staleBefore[f.chan];
    if (r && !done && this.sampled < this.awake && r.outdated()) return true;
    const why = done ? "closed" : old ? "stale-channel" : r ? r.receive(t, f) : "unknown-channel";
    if (f.kind === frameFragment) this.ageAt = Math.min(this.ageAt, t + partialAge);
    if (why) this.drop(why);
    return done || old || !why;
  }
  receiveClose(f) {
    if (this.byPeer) return;
    this.byPeer = true;
    this.abandon();
    this.events.closed(f.code, text(f.payload), this.missed);
  }
  receiveGivenUp(f) {
    try {
      this.missed = new Reader(f.payload).varint();
    } catch {
      this.drop("unknown-frame");
    }
  }
  /** Processes an ack block. Returns false if it acknowledges packets that were never sent. */
  receiveAck(t, { largest: low, delay, ranges }) {
    const f = this.flight;
    const last = f.next - 1;
    const largest2 = last - (last - low & 65535);
    let bytes = 0;
    let end = largest2;
    for (const n of ranges) end -= n + 1;
    if (end < -1) return false;
    end = largest2;
    for (let i = 0; i < ranges.length; end -= ranges[i++] + 1) {
      if (i % 2 === 0) bytes += this.ackRange(end - ranges[i], end);
    }
    if (!bytes) return true;
    const p = f.at(largest2);
    if (p?.eliciting && p.sentAt > this.sampled) {
      this.sampled = p.sentAt;
      const own2 = Math.min(delay * delayUnit, 2 * maxAckDelay);
      if (p.sentAt >= this.awake) {
        this.loss.sample(Math.max(t - p.sentAt, 1e-3), own2);
        this.cc.sample(t, Math.max(t - p.sentAt - own2, 1e-3));
      }
    }
    if (this.loss.silent()) this.outbox.outdate(t);
    this.loss.timeouts = 0;
    this.detect(t, largest2);
    this.cc.acked(t, largest2, f.next, bytes, this.loss.share);
    f.trim(t - 3 * this.loss.pto(0));
    return true;
  }
  /**
   * Processes one range of an ack block: the packets from low to high have arrived. Returns the bytes of those that had
   * to be acknowledged.
   */
  ackRange(low, high) {
    const { flight, loss, received } = this;
    let bytes = 0;
    for (let n = Math.max(low, flight.base()); n <= high; n++) {
      const p = flight.at(n);
      if (p.phase === packetAcked) continue;
      if (p.phase === packetLost) loss.reordered(high - n + 1);
      if (p.eliciting) bytes += p.len;
      loss.acked(p);
      flight.land(p, packetAcked);
      received.confirmed(p.ackTop);
      if (p.closing) {
        this.closeLeft = 0;
        this.closeAt = Infinity;
      }
      this.outbox.acked(p);
    }
    return bytes;
  }
  /** Finds the packets that are lost, given that packet largest is acknowledged, and sets the time of the next look. */
  detect(t, largest2) {
    const { flight, loss } = this;
    const delay = loss.lossDelay();
    const top = this.largestAcked = Math.max(this.largestAcked, largest2);
    loss.lossAt = Infinity;
    if (this.reliable) return;
    for (const p of flight.packets) {
      if (p.number >= top) break;
      if (p.phase !== packetFlying || !p.eliciting) continue;
      if (top - p.number >= loss.threshold || p.sentAt + delay <= t) this.losePacket(p);
      else loss.lossAt = Math.min(loss.lossAt, p.sentAt + delay);
    }
  }
  losePacket(p) {
    this.loss.lost(p);
    this.flight.land(p, packetLost);
    this.outbox.lost(p);
  }
  // ---- time ------------------------------------------------------------------------------------------------------
  /** Returns when advance must be called; Infinity means never. */
  deadline() {
    const { received, loss, flight } = this;
    if (this.over()) return this.byPeer ? received.due : Math.min(this.closeAt, received.due);
    return Math.min(
      received.due,
      loss.lossAt,
      this.ageAt,
      flight.count ? loss.ptoAt() : this.ping ? Infinity : this.heard + this.config.keepAlive,
      this.work ? this.cc.ready() : Infinity
    );
  }
  /**
   * Makes an acknowledgement due now that is due within ackSlack, because its caller is running anyway. If there is
   * one, returns when the next is expected to be due; otherwise Infinity.
   */
  hasten(t) {
    const { received, heard, gap } = this;
    if (received.due >= t + ackSlack) return Infinity;
    received.due = t;
    return Math.max(t, heard + gap - ackSlack / 2) + maxAckDelay;
  }
  /** Tells the Mux the time. */
  advance(t) {
    const { flight, loss } = this;
    if (this.over()) return;
    if (t >= this.ageAt) {
      this.ageAt = Infinity;
      this.receivers.forEach((r) => this.ageAt = Math.min(this.ageAt, r.age(t)));
    }
    if (t >= loss.lossAt) this.detect(t, this.largestAcked);
    if (flight.count && t >= loss.ptoAt()) this.probe(t);
    if (!flight.count && t >= this.heard + this.config.keepAlive) this.ping = true;
  }
  /**
   * Sends the oldest and the newest reliable content that is not acknowledged again, or a ping if there is none,
   * because no acknowledgement has arrived for too long.
   */
  probe(t) {
    const again2 = (p) => this.outbox.again(p);
    this.loss.timeout(t, this.received.loss);
    if (this.loss.silent()) {
      this.outbox.outdate(t);
      this.ping = true;
    }
    if (this.flight.packets.some(again2)) this.flight.packets.findLast(again2);
    else this.ping = true;
  }
  /**
   * Records that the program did not run for a while, until t. Packets that arrive now may have waited as long: their
   * unreliable messages are dropped until the peer has answered something newer. Until then answers are not used to
   * measure round trips.
   */
  slept(t) {
    this.awake = t;
    this.ping = true;
    this.loss.probes ||= 1;
    this.outbox.outdate(t);
  }
  /** Returns whether the peer has acknowledged something that was sent at t or later. */
  answered(t) {
    return this.sampled >= t;
  }
  // ---- the end ---------------------------------------------------------------------------------------------------
  /** Closes the link. Queued messages are not sent any more. append then returns packets with a close frame. */
  close(t, code, reason) {
    if (this.over()) return;
    this.ending = true;
    this.code = code;
    this.closing = cut2(reason, maxCloseText);
    this.closeLeft = this.reliable ? 2 : closeRepeats;
    if (this.reliable) this.closeGap = closePatience;
    this.closeAt = t;
    this.abandon();
  }
  /** Drops all messages of both directions. */
  abandon() {
    this.givenUp += this.outbox.unsettled();
    this.outbox.abandon();
    this.flight.forget();
    this.receivers.forEach((r) => {
      r.partials.clear();
      r.bytesHeld = 0;
    });
  }
  /** Returns whether one end has closed the link. */
  over() {
    return this.ending || this.byPeer;
  }
  /**
   * Returns whether the link is closed: the peer has closed it, the peer has acknowledged the close frame of this end,
   * or this end has sent its last close frame.
   */
  closed() {
    return this.byPeer || this.ending && !this.closeLeft;
  }
  // ---- figures ---------------------------------------------------------------------------------------------------
  stats() {
    const { outbox, loss } = this;
    return {
      ...this.counts,
      retransmits: outbox.retransmits,
      copies: outbox.copies,
      rtt: loss.smoothed,
      lossOut: loss.share,
      lossIn: this.received.loss,
      rate: this.cc.rate(),
      packetLimit: loss.budget,
      queued: outbox.senders.reduce((n, s) => n + s.cost, 0),
      held: this.receivers.reduce((n, r) => n + r.bytesHeld, 0),
      drops: { ...this.drops }
    };
  }
  channelStats(ch) {
    return { ...(this.receivers[ch] ?? this.outbox.senders[ch]).counted };
  }
  drop(why) {
    this.drops[why] = (this.drops[why] ?? 0) + 1;
  }
};
function cut2(s, n) {
  const b = new Uint8Array(n);
  return b.subarray(0, new TextEncoder().encodeInto(s, b).written);
}

// src/session.ts
var silence = 3e3;
var keepAlive = 2e3;
var silenceTrips = 3;
var defaultGrace = 3e4;
var openTimeout = 5e3;
var maxEarly = 256 << 10;
var answerTime = 1e3;
var maxServing = 64;
var maxWaiting = 1024;
var maxOwn = 224 << 10;
var renewable = (code) => code === CloseCode.Shutdown || code === CloseCode.Timeout || code === CloseCode.Moved;
var fresh = 0;
var linked = 1;
var open = 2;
var closed = 3;
var Session = class {
  // channels that one end has closed: this end takes no more messages for them
  constructor(t, config, message, events) {
    this.config = config;
    this.events = events;
    this.phase = fresh;
    this.interrupted = false;
    this.id = 0n;
    this.token = "";
    // resume token, as base64url
    this.home = [];
    // the server, for a link without a request; empty if that cannot work
    this.next = ["", ""];
    // credentials of that link
    this.moves = 0;
    // links after the first
    this.since = 0;
    // when the session was interrupted or, before WELCOME, when the link began
    this.grace = defaultGrace;
    // ms for which the server keeps an interrupted session
    this.inbox = [];
    // messages that the Mux has delivered
    this.closedBy = null;
    // close frame of the server
    this.closing = false;
    // close was called, and reliable messages are not acknowledged yet
    this.moving = false;
    // the server moves the session, and reliable messages are not acknowledged yet
    this.closedAt = 0;
    // when close was called
    this.drainBy = Infinity;
    // latest time of the close frame
    this.endWith = [0, ""];
    this.lastID = 0;
    // id of the last request of this end
    this.calls = /* @__PURE__ */ new Map();
    this.serving = /* @__PURE__ */ new Map();
    // the first number that the server opens: those from tableSize on are for this end
    this.closes = false;
    // the server supports SHUT
    this.maxQueue = 0;
    // the largest queueLimit of channels that this end opens
    this.opening = [];
    // channels that this end has opened and the server has not answered, in order
    this.ending = /* @__PURE__ */ new Set();
    this.mux = new Mux(
      t,
      { ...config, mine: "to-server", keepAlive },
      {
        message: (channel, b) => this.inbox.push([channel, b]),
        closed: (code, reason, missed) => this.closedBy = [code, reason, missed]
      }
    );
    this.tableSize = this.theirs = config.table.length;
    this.mux.send(t, 0, hello(message));
  }
  // ---- the link --------------------------------------------------------------------------------------------------
  /** Begins a link. Datagrams of the old link must not be given to receive any more. */
  link(t, rtt, reliable = false) {
    this.mux.relink(t, rtt, reliable);
    if (this.phase === fresh) {
      this.phase = linked;
      this.since = t;
    } else if (this.phase === open) {
      this.mux.send(t, 0, numbered(typeHere, ++this.moves));
    }
  }
  /** Records that the link is silent or has ended. */
  interrupt(t) {
    if (this.phase === linked) this.failWith(t, CloseCode.ProtocolError, "no WELCOME");
    if (this.closing) return this.failWith(t, 0, "");
    if (this.interrupted || this.phase !== open) return;
    this.interrupted = true;
    this.since = t;
    this.events.interrupted();
  }
  receive(t, b) {
    const { mux } = this;
    const heard = mux.counts.packetsIn;
    mux.receive(t, b);
    if (this.interrupted && mux.counts.packetsIn > heard) {
      this.interrupted = false;
      this.events.resumed();
    }
    this.take(t);
  }
  /** Returns whether the Mux has no packet to send. */
  idle(t) {
    this.endIfDrained(t);
    return this.mux.idle(t);
  }
  deadline() {
    return Math.min(this.mux.deadline(), this.patience());
  }
  /** Returns the ms of silence after which the session is interrupted: not before an answer to a ping can arrive. */
  silence() {
    return Math.max(silence, keepAlive + silenceTrips * this.mux.loss.smoothed);
  }
  /** Returns when silence has lasted too long. */
  patience() {
    if (this.phase === linked) return this.since + openTimeout;
    if (this.phase !== open) return Infinity;
    if (this.closing) return Math.min(this.drainBy, Math.max(this.mux.heard, this.closedAt) + this.silence());
    return this.interrupted ? this.since + this.grace : this.mux.heard + this.silence();
  }
  advance(t) {
    this.mux.advance(t);
    if (t < this.patience()) return;
    if (this.closing) this.endIfDrained(t);
    else if (this.interrupted) this.failWith(t, CloseCode.Timeout, "silent for too long");
    else this.interrupt(t);
  }
  // ---- what comes ------------------------------------------------------------------------------------------------
  /**
   * Processes the messages that the Mux has delivered. Before WELCOME messages of other channels than 0 wait, in order. A
   * message that is being inflated waits, and so do those after it on its channel and on channel 0.
   */
  take(t) {
    let early = 0;
    for (let i = 0; i < this.inbox.length && this.phase !== closed; ) {
      const { inbox } = this;
      const [channel, b] = inbox[i];
      if (this.phase !== open ? channel && (early += b.length + 32) : this.waits(t, i)) {
        i++;
        continue;
      }
      if (i) inbox.splice(i, 1);
      else inbox.shift();
      i = early = 0;
      if (channel && this.closing) continue;
      if (!channel) this.control(t, b);
      else if (!this.config.table[channel].compress) this.deliver(channel, b);
      else if (b[0] === 0) this.deliver(channel, b.subarray(1));
      else this.failInflate(t);
    }
    if (early > maxEarly) this.failWith(t, CloseCode.LimitEarly, "too much before WELCOME");
    if (this.mux.loss.stuck) this.failWith(t, CloseCode.Timeout, "path too narrow");
    const by = this.closedBy;
    if (!by || this.phase === open && this.inbox.length) return;
    const [code, reason, missed] = by;
    if (this.closing) this.finish(...this.endWith, false, missed);
    else this.finish(code, reason, true, missed);
  }
  deliver(channel, b) {
    this.mux.receivers[channel].counted.bytesIn += b.length;
    this.events.message(channel, b);
  }
  /** Returns whether message i of inbox must wait. Begins to inflate it if it is the first of its channel. */
  waits(t, i) {
    const { inbox } = this;
    const message = inbox[i];
    const [channel, b, inflating] = message;
    const { compress, maxMessage: maxMessage2 } = this.config.table[channel];
    if (this.closing || !compress) return !channel && i > 0;
    if (inbox.findIndex((m) => m[0] === channel) < i) return true;
    if (b[0] !== deflated) return false;
    if (inflating) return true;
    message[2] = true;
    stream(maxMessage2, 0, b.subarray(1), globalThis.DecompressionStream, (b2) => {
      const i2 = this.inbox.indexOf(message);
      if (i2 < 0 || this.phase === closed) return;
      if (!this.closing) {
        if (!b2) return this.failInflate(t);
        this.inbox.splice(i2, 1);
        this.deliver(channel, b2);
      }
      this.take(t);
      this.mux.outbox.wake();
    });
    return true;
  }
  failInflate(t) {
    this.mux.drop("inflate");
    this.failWith(t, CloseCode.ProtocolError, "cannot inflate");
  }
  control(t, b) {
    try {
      const c = parseControl(b);
      if (c.type === typeWelcome) this.welcome(c);
      else if (c.type <= typeMove) this.talk(t, c);
    } catch (e) {
      this.failWith(t, CloseCode.ProtocolError, words(e));
    }
  }
  welcome(c) {
    this.id = c.session;
    this.grace = c.id;
    this.token = btoa(String.fromCharCode(...c.payload)).replace(/[+/=]/g, (s) => "-_"["+/".indexOf(s)] ?? "");
    this.next = c.next;
    if (this.phase === open) return;
    this.phase = open;
    this.closes = c.most >= 0;
    this.theirs += Math.min(Math.max(0, c.most), maxChannels + 1 - this.tableSize);
    this.maxQueue = c.maxQueue;
    this.events.opened();
  }
  talk(t, { type, id, words: text2, payload }) {
    const call = this.calls.get(id);
    if (this.phase !== open) return this.failWith(t, CloseCode.ProtocolError, "no WELCOME");
    if (this.closing && [typeRequest, typeOpen, typeShut, typeMove].includes(type)) return;
    if (type === typeOpen) return this.receiveOpen(t, text2);
    if (type === typeOpened) return this.receiveOpened(id);
    if (type === typeShut) return this.receiveShut(t, id);
    if (type === typeRequest) return this.request(t, id, text2, payload);
    if (type === typeMove) return this.move(t, text2);
    this.calls.delete(id);
    if (type === typeReject) call?.reject(new RequestError("rejected", text2));
    else call?.resolve(type === typeReply ? payload : void 0);
  }
  receiveOpen(t, line) {
    const { table } = this.config;
    const id = parseInt(line, 10);
    must(id >= this.theirs && id <= maxChannels && !table[id]);
    const others = table.filter((_, i) => i && (i < this.tableSize || i >= this.theirs));
    const c = parseLine(others, line, id);
    this.mux.send(t, 0, Uint8Array.of(typeOpened, id));
    this.addChannel(c, id);
  }
  /**
   * Takes no more messages, and ends the session when all that was sent is acknowledged, and requests are answered or answerTime
   * is over. The server has sent MOVE after all
   * its own messages, and ends a session that takes too long.
   */
  move(t, seat) {
    if (this.moving) return;
    this.moving = true;
    this.drainBy = t + answerTime;
    this.endWith = [CloseCode.Moved, ""];
    this.events.moved(seat);
  }
  /** Adds a channel to the table. own says that this end opens it. */
  addChannel(c, id, own2 = false) {
    this.config.table[id] = c;
    this.mux.open(c, id);
    this.events.channel(c, id, own2);
  }
  receiveOpened(id) {
    const { outbox } = this.mux;
    must(this.opening.shift() === id);
    outbox.senders[id].shut = false;
    outbox.activate(outbox.senders[id]);
  }
  receiveShut(t, id) {
    must(this.closes && id >= this.tableSize && !!this.mux.receivers[id] && !this.opening.includes(id));
    this.mux.stopReceiving(id);
    this.inbox = this.inbox.filter(([channel]) => channel !== id);
    this.endChannel(id);
    this.endChannels(t);
  }
  /** Takes no more messages for a channel. */
  endChannel(id) {
    const s = this.mux.outbox.senders[id];
    if (s) s.wanted = Infinity;
    this.ending.add(id);
  }
  /** Sends SHUT for channels that are ending, once their messages have their fates, and removes those that are closed. */
  endChannels(t) {
    const { outbox, receivers } = this.mux;
    const { table } = this.config;
    for (const id of this.ending) {
      const s = outbox.senders[id];
      if (s && !s.cost && !s.shut) {
        try {
          this.mux.send(t, 0, Uint8Array.of(typeShut, id));
        } catch {
          return;
        }
        outbox.remove(id);
      }
      if (outbox.senders[id] || receivers[id]) continue;
      const c = table[id];
      this.ending.delete(id);
      delete table[id];
      this.events.channelClosed(c, id);
    }
  }
  request(t, id, name, b) {
    if (this.serving.has(id)) return this.failWith(t, CloseCode.ProtocolError, "malformed");
    this.serving.set(id, [name, b]);
    if (this.serving.size > maxServing) this.reject(t, id, "too many requests in flight");
    else this.events.request(id, name, b);
  }
  // ---- what goes -------------------------------------------------------------------------------------------------
  /** Opens a channel. Messages on it wait until the server has answered. Throws if nothing was opened. */
  openChannel(t, channel) {
    const { table } = this.config;
    const { tableSize, theirs, maxQueue: maxQueue2 } = this;
    this.mustTake();
    const c = nextChannel(
      table.filter((_, i) => i),
      channel
    );
    let id = tableSize;
    while (table[id] && id < theirs) id++;
    if (id === theirs || c.queueLimit > maxQueue2) {
      throw new SendError("fixed", `channel "${c.name}": the server allows ${theirs - tableSize} channels of ${maxQueue2} bytes`);
    }
    this.mux.send(t, 0, Uint8Array.of(typeOpen, ...bytesOf(openLine(c, id))));
    this.opening.push(id);
    this.addChannel(c, id, true);
    this.mux.outbox.senders[id].shut = true;
    return c;
  }
  /** Closes a channel that was opened at run time. What both ends have sent arrives first. */
  closeChannel(id) {
    this.mustTake();
    if (id < this.tableSize || !this.closes) throw new SendError("fixed", "the channel cannot be closed");
    this.endChannel(id);
  }
  /** Throws if the session takes no more messages. */
  mustTake() {
    if (this.phase === closed || this.closing || this.moving)
      throw new SendError("closed", "the session has ended: conn.closed says why");
  }
  send(t, channel, b, o) {
    this.mustTake();
    if (this.interrupted && !this.mux.outbox.senders[channel].reliable) {
      throw new SendError("interrupted", "the session is interrupted: wait for resumed, or use a reliable channel");
    }
    this.mux.send(t, channel, b, o);
  }
  /** Sends a request. Throws a SendError if nothing was queued. */
  call(t, name, b) {
    const n = bytesOf(name);
    const { calls } = this;
    if (!name || n.length > maxName2 || b.length > maxPayload) {
      throw new SendError(
        "size",
        `request "${name}" has ${b.length} bytes: at most ${maxPayload}, and a name has 1 to ${maxName2} bytes`
      );
    }
    if (calls.size >= maxWaiting || this.full(b)) {
      throw new SendError("budget", "too many requests wait: await answers first");
    }
    do
      this.lastID = this.lastID + 1 >>> 0;
    while (!this.lastID || calls.has(this.lastID));
    const id = this.lastID;
    const call = { ...deferred(), sent: false };
    this.send(t, 0, numbered(typeRequest, id, [n.length, ...n, ...b]), { receipt: (_, sent) => call.sent = sent });
    calls.set(id, call);
    return call;
  }
  /** Returns whether b is too large, or would leave too little room in the queue for HERE, OPENED and REJECT. */
  full({ length }) {
    return length > maxPayload || length + this.mux.outbox.senders[0].cost > maxOwn;
  }
  /** Answers a request of the server, with bytes or without. */
  answer(t, id, b) {
    if (!this.serving.has(id)) return;
    if (b && this.full(b)) return this.reject(t, id, "the reply is too large");
    this.mux.send(t, 0, numbered(b ? typeReply : typeAck, id, b));
    this.serving.delete(id);
  }
  /** Rejects a request of the server. */
  reject(t, id, why) {
    if (!this.serving.delete(id)) return;
    try {
      this.mux.send(t, 0, numbered(typeReject, id, cut2(why, maxText)));
    } catch {
      this.failWith(t, CloseCode.LimitRequests, "too many requests");
    }
  }
  // ---- the end ---------------------------------------------------------------------------------------------------
  /** Ends the session. Reliable messages are delivered first, for at most wait ms; then comes the event closed. */
  close(t, code, reason, wait) {
    if (this.phase === closed || this.closing && wait) return;
    if (!this.closing) this.endWith = [code, reason];
    this.moving = false;
    if (this.phase !== open || this.interrupted) return this.end(t);
    this.closing = true;
    this.closedAt = t;
    this.drainBy = t + wait;
    this.endIfDrained(t);
  }
  /** Ends the session at once. */
  failWith(t, code, reason) {
    this.close(t, code, reason, 0);
  }
  /** Ends a session that is closing or moves when every reliable message has arrived, or the time is over. */
  endIfDrained(t) {
    if (!this.closing && !this.moving) this.endChannels(t);
    else if (this.closing && t >= this.patience()) this.end(t);
    else if (this.mux.outbox.settled() && (this.closing || !this.calls.size || t >= this.drainBy)) this.end(t);
  }
  end(t) {
    this.mux.close(t, ...this.endWith);
    this.finish(...this.endWith, this.moving);
  }
  /** Ends the session at this end, whichever end has closed it. */
  finish(code, reason, remote, missed = 0) {
    if (this.phase === closed) return;
    this.phase = closed;
    this.interrupted = this.closing = false;
    for (const { sent, reject } of this.calls.values()) {
      const why = sent ? "response-lost" : "send-failed";
      reject(new RequestError(why, "the session has ended"));
    }
    this.events.closed(code, reason, remote, this.mux.givenUp, missed);
  }
  /** Returns whether a session that has ended has no packet to send any more, so that its link may be closed. */
  over() {
    return this.mux.closed();
  }
};

// src/signaling.ts
var protocolVersion = 1;
var queryOf = (channels, app) => new URLSearchParams(
  [
    ["v", `${protocolVersion}`],
    ["channels", channels],
    ["kind", "browser"],
    ["app", app]
  ].filter(([, v]) => v)
);
function signalingURL(url, query) {
  const u = absolute(url);
  query.forEach((v, k) => u.searchParams.set(k, v));
  return u;
}
var absolute = (url) => new URL(url, globalThis.location?.href);
var offers = (links, base) => links.map(Object).filter((l) => said(l.ticket)).map((l) => ({
  ...l,
  // Throws if url is none: then only this link does not open.
  get address() {
    const own2 = said(l["url"]);
    const u = new URL(own2 ? l["url"] : base, base);
    if (!own2) for (const name of ["v", "channels", "kind", "app"]) u.searchParams.delete(name);
    return `${u}`;
  }
}));
async function exchange(url, offer, authorization, init, table, signal) {
  const headers = new Headers(init?.headers);
  if (!offer) headers.set("Content-Type", "application/json");
  const gated = headers.has(own);
  for (let name = gated ? ours : own; ; name = ours) {
    headers.delete(gated ? ours : own);
    try {
      if (authorization) headers.set(name, authorization);
    } catch (cause) {
      throw new ConnectError("token", "the token has a character that HTTP headers cannot have: trim() it", { cause });
    }
    let response;
    let body;
    try {
      response = await fetch(url, {
        ...init,
        method: "POST",
        body: offer,
        headers,
        signal,
        ...headers.has(ours) && { redirect: "manual" }
      });
      body = await json(response);
    } catch (e) {
      signal.throwIfAborted();
      throw new ConnectError("network", `no answer from ${url.origin} that this page may read: see Config.RTC.Origins`, {
        cause: e,
        retryAfter: 0
      });
    }
    const answer = body["answer"];
    const links = Array.isArray(body["links"]) && offers(body["links"], response.url || url.href);
    const sdp = answer?.sdp ? answer : void 0;
    if (response.ok && (sdp || links)) return { sdp, links: links || [] };
    const { status } = response;
    if (status > 399 && isRefusal(body)) throw refusal(status, body, table, (most) => later(response, most));
    if (status === 401 && authorization && name === own) continue;
    const message = `${url.origin}${url.pathname} answered with ${status ? `status ${status}` : "a redirect"}, not as a godwit server: check the path, and what stands before the server`;
    throw new ConnectError("foreign", message, { status, retryAfter: later(response, longestBackoff) });
  }
}
var own = "Authorization";
var ours = "Godwit-Authorization";
var said = (v) => !!v && typeof v === "string";
var later = (r, most) => Math.min(1e3 * Number(/^\d+$/.exec(`${r.headers.get("Retry-After")}`)), most);
async function json(r) {
  const body = await r.text();
  try {
    return Object(JSON.parse(body));
  } catch {
    return {};
  }
}
var isRefusal = (body) => said(body["code"]) && said(body["error"]);
function refused(b, table) {
  try {
    const body = JSON.parse(text(b));
    return isRefusal(body) ? refusal(Number(body["status"]), body, table) : void 0;
  } catch {
    return;
  }
}
function refusal(status, details, table, wait = (_) => 0) {
  const code = `${details["code"]}`;
  const reason = details["reason"];
  const theirs = details["channels"];
  let message = `${details["error"]}`;
  if (code === "channels" && theirs) message += `: ${firstDifference(tableText(table), `${theirs}`)}`;
  if (reason === "replayed") message += ": make the option token a function";
  const again2 = status === 429 || status >= 500 || code === "resume" && reason === "unknown";
  const retryAfter = again2 ? wait(6e4) : void 0;
  return new ConnectError(code, message, { status, details, retryAfter });
}

// src/seeker.ts
var headTrips2 = 5;
var askEvery = 1e3;
var patience = 3e3;
var maxStrangers = 5;
function seekerOf(conn) {
  let rival = new AbortController();
  let seeking;
  let trying = null;
  let silent;
  let woken;
  let lost = 0;
  let moved = -Infinity;
  let pause = firstSeek;
  let kind = kindOfNetwork();
  const wanted = () => conn.settings.links ?? allLinks;
  const worse = (than) => conn.state !== "closed" && rank(wanted(), conn.carrier?.name ?? than) > rank(wanted(), than);
  async function own2(signal) {
    const { session, query, settings } = conn;
    const { home, next } = session;
    const exchange2 = (offer) => answerTo(offer, home, ...next, `${query}`);
    return openLink({ exchange: exchange2, timeout: settings.timeout, signal });
  }
  async function connect2(authorization, signal, calm = true, links = wanted()) {
    const { table } = conn;
    const url = conn.url;
    const { request, timeout } = conn.settings;
    rival.abort();
    const other = rival = new AbortController();
    const quit = () => other.abort();
    signal.addEventListener("abort", quit);
    try {
      return await race(
        links,
        calm,
        url.host,
        (offer, either) => exchange(url, offer, authorization, request, table, either),
        take,
        signal,
        other.signal,
        timeout
      );
    } finally {
      signal.removeEventListener("abort", quit);
    }
  }
  const resume2 = (signal, calm, links) => connect2(`Godwit-Resume ${conn.session.token}`, signal, calm, links);
  async function authorized() {
    const { token } = conn.settings;
    const attempt = async () => {
      if (!conn.url) return own2(conn.ended.signal);
      const t = await (typeof token === "function" ? fetched(token) : token);
      return connect2(t && `Bearer ${t}`, conn.ended.signal);
    };
    try {
      return await attempt();
    } catch (e) {
      const { code, status, retryAfter } = Object(e);
      if (typeof token === "string" || !(code === "token" ? token && status : code === "link" && retryAfter !== void 0))
        throw e;
      return attempt();
    }
  }
  const fallback = () => wanted().includes("webrtc") && worse("webrtc");
  const take = (link) => {
    if (conn.frozen || !(conn.carrier ? worse(link.name) : conn.session.interrupted)) link.close();
    else conn.move(link);
  };
  const seek = (wait = pause) => {
    if (conn.session.moves) moved = now();
    clearTimeout(seeking);
    if (!fallback() || !globalThis.RTCPeerConnection) return;
    seeking = setTimeout(async () => {
      pause = Math.min(2 * wait || firstSeek, longestSeek);
      try {
        if (conn.state === "open" && !trying) take(await resume2(conn.ended.signal, true, ["webrtc"]));
      } catch {
      }
      seek();
    }, wait);
  };
  async function reconnect(calm = !conn.link) {
    const { session, url } = conn;
    if (trying || conn.frozen || !session.interrupted) return;
    const { signal } = trying = new AbortController();
    lost = now();
    let links = wanted();
    if (!calm && url && conn.link !== "websocket") {
      if (lost - moved > firstSeek) pause = firstSeek;
      else if (links.some(lossless)) links = links.filter(lossless);
    }
    let quick = void 0;
    let head = Math.max(headStart, headTrips2 * session.mux.loss.smoothed) * (1 + Math.random() / 2);
    const attempt = async () => {
      const { home, next } = session;
      if (home[0] && home[1] && next[0] && direct() && (!url || head && links.includes("webrtc"))) {
        quick ??= own2(signal);
        quick.then(
          () => woken?.abort(),
          () => quick = void 0
        );
      }
      if (url) return quick ? before(quick, head, rest, take) : rest();
      if (quick) return quick;
      throw new ConnectError("resume", "the server takes no link without a request");
    };
    const rest = (won = signal) => resume2(AbortSignal.any([signal, won]), calm, links);
    const { gone } = conn.settings;
    const ask = async () => {
      for (; gone && session.interrupted && !signal.aborted; await sleep(askEvery, signal)) {
        const yes = await (async () => gone())().catch(() => false);
        if (yes && !signal.aborted) conn.giveUp(new ConnectError("resume", "the server is gone"));
      }
    };
    void ask();
    const wait = (ms, by) => sleep(ms, AbortSignal.any([signal, by.signal]));
    let stranger;
    let strangers = 0;
    for (const next = backoff(); !signal.aborted; calm = false, links = wanted(), head = 0) {
      let after = 0;
      let most;
      try {
        const link = await attempt();
        quick = void 0;
        if (signal.aborted) link.close();
        else conn.move(link);
        if (conn.carrier) await wait(patience, silent = new AbortController());
      } catch (e) {
        if (e instanceof ConnectError) {
          after = e.code === "link" && session.mux.counts.links ? 0 : e.retryAfter;
          conn.failure = e;
          const instance = e.code === "resume" && e.details["instance"];
          if (instance) {
            most = unknownBackoff;
            strangers = stranger === (stranger = instance) ? strangers + 1 : 1;
            if (strangers === maxStrangers) after = void 0;
          }
        }
        if (after === void 0) {
          if (session.interrupted) conn.giveUp(e);
          break;
        }
      }
      await wait(next(Math.min(after, longestBackoff), most), woken = new AbortController());
    }
    quick?.then(
      (link) => link.close(),
      () => {
      }
    );
    trying = null;
    void reconnect();
  }
  return {
    async begin() {
      try {
        conn.settings.signal?.throwIfAborted();
        const link = await authorized();
        Object.assign(conn.times, link.times, { hello: now() - conn.started });
        conn.move(link);
      } catch (e) {
        conn.giveUp(e);
      }
    },
    reconnect,
    heard() {
      if (trying && conn.session.mux.answered(lost)) trying.abort();
    },
    refused(e) {
      if (!e) return;
      if (conn.session.phase < open || !conn.url && e.retryAfter === void 0) conn.giveUp(e);
      else conn.failure = e;
      conn.seeker.ended();
    },
    ended() {
      conn.carrier?.close();
      conn.carrier = null;
      silent?.abort();
      conn.session.interrupt(now());
    },
    seek,
    network: ({ type }) => {
      if (type === "change" && kind === (kind = kindOfNetwork())) return;
      if (conn.url) fallen(conn.url.host, 0);
      seek(0);
      moved = -Infinity;
    },
    stop() {
      trying?.abort();
      rival.abort();
      clearTimeout(seeking);
    }
  };
}
var connection = () => globalThis.navigator?.["connection"];
var kindOfNetwork = () => connection()?.["type"];

// src/conn.ts
var asleep = 1500;
var drainTime = 1e4;
var maxCode = 65535;
var fullPause = 10;
var Conn = class extends EventTarget {
  constructor(target, settings, begin = (c) => void c.seeker.begin()) {
    super();
    this.settings = settings;
    /** Whether another Conn, such as that of the page before, has begun the session. */
    this.continued = false;
    /** How long the phases of connecting took. */
    this.times = noTimes();
    /** The link that the session uses or used last; "" before the first. The event link comes when it changes. */
    this.link = "";
    /** @internal */
    this.started = now();
    this.listeners = [];
    this.handlers = /* @__PURE__ */ new Map();
    this.pending = /* @__PURE__ */ new Map();
    // promises of requests and receipts; call is that of a request
    /** Aborts when the session has ended. @internal */
    this.ended = new AbortController();
    this.packet = new Uint8Array(maxPacket);
    this.views = [];
    // views of packet, by length
    /** @internal */
    this.opening = deferred();
    this.closing = deferred();
    /** The link. @internal */
    this.carrier = null;
    /** How links are opened. @internal */
    this.seeker = seekerOf(this);
    this.flushing = false;
    this.timerAt = Infinity;
    /** Is called when the page goes for good. @internal */
    this.hide = () => this.endNow();
    /**
     * Is called when the browser shows the page again: returns whether the session still belongs to this page. @internal
     */
    this.onBack = () => true;
    /** @internal */
    this.frozen = false;
    /**
     * Is called when the page goes. If the browser may show the page again, the session stays, without a link, because
     * browsers do not show a page again that has one. A session that is closing ends: otherwise the server would get no
     * close frame.
     */
    this.pagehide = (e) => {
      const { phase, closing } = this.session;
      if (!e.persisted || phase === closed || closing) return this.hide();
      if (phase < open) return;
      this.frozen = true;
      this.seeker.stop();
      this.onFreeze();
      this.seeker.ended();
    };
    /** Is called when the browser shows the page again. */
    this.pageshow = () => {
      if (!this.frozen) return;
      this.frozen = false;
      if (!this.onBack()) return this.giveUp(new ConnectError("resume", "another page has the session"));
      this.session.advance(this.wake(now()));
      this.timerAt = Infinity;
      void this.seeker.reconnect(true);
      this.flushSoon();
    };
    /** Is called before the page is frozen. @internal */
    this.onFreeze = () => {
    };
    this.flush = (t = now(), latest = Infinity) => {
      this.flushing = false;
      const { carrier: link, session } = this;
      let ready = true;
      for (let n = 0; link && !session.idle(t) && (ready = session.phase === closed || link.ready(t, n)); ) {
        session.mux.slow = link.slow();
        n = session.mux.append(t, this.packet);
        if (n === 0) break;
        link.send(this.views[n] ??= this.packet.subarray(0, n));
      }
      this.rest(t, ready, latest);
    };
    this.ring = () => {
      const t = this.wake(now());
      this.timerAt = Infinity;
      this.session.advance(t);
      this.flush(t, this.session.mux.hasten(t));
    };
    const table = this.table = fullTable(settings?.channels, settings?.schema);
    const { app = "", ceiling = defaults.ceiling, hello: hello2 = nothing, signal, timeout = 0, links = allLinks } = settings;
    const most = ceiling < 0 ? Infinity : ceiling;
    option("ceiling", most, maxPacket);
    option("timeout", timeout, 0);
    checkLinks(links);
    this.unheard = table.map(inboxOf);
    const channels = hash(tableText(table));
    this.query = queryOf(channels, app);
    const invite = inviteOf(target);
    if (!invite) this.url = signalingURL(target, this.query);
    const config = { ...defaults, table, ceiling: most };
    this.session = new Session(now(), config, view(hello2), this.events());
    if (invite) {
      if ((invite.channels || channels) !== channels)
        throw new ConnectError("channels", "the server's table of channels differs from the client's");
      this.session.home = homeOf(invite);
      this.session.next = [invite.ufrag, invite.pwd];
    }
    const room = (c) => this.state !== "closed" && this.dispatchEvent(new ChannelEvent("room", c));
    const { outbox } = this.session.mux;
    outbox.room = (id) => queueMicrotask(room.bind(0, table[id]));
    outbox.wake = () => this.flushSoon();
    this.opened = this.opening.promise;
    this.opened.catch(() => {
    });
    this.closed = this.closing.promise;
    signal?.addEventListener(
      "abort",
      () => {
        this.opening.reject(signal.reason);
        void this.close();
      },
      { signal: this.ended.signal }
    );
    begin(this);
    this.watchPage("addEventListener");
  }
  // ---- for programs ----------------------------------------------------------------------------------------------
  /** The number of the session, as 16 hexadecimal digits as in the server's log; "" until the session is open. */
  get id() {
    const { id } = this.session;
    return id ? id.toString(16).padStart(16, "0") : "";
  }
  /** The channels that were opened at run time, by either end, and are not closed. */
  get channels() {
    return Object.values(this.table.slice(this.session.tableSize));
  }
  get state() {
    const { phase, interrupted, closing, moving } = this.session;
    return phase === closed || closing || moving ? "closed" : phase < open ? "connecting" : interrupted ? "interrupted" : "open";
  }
  send(channel, b, { deadline = Infinity, key, receipt } = {}) {
    const fate = receipt ? deferred() : void 0;
    const t = now();
    this.session.send(t, this.idOf(channel), view(b), { deadline: t + deadline, key, receipt: fate?.resolve });
    this.flushSoon();
    return fate && this.pend(fate.promise, {});
  }
  /**
   * Calls f with each message of a channel. The first ones are those that arrived before the first call of on, up to
   * queueLimit; further ones were lost. The function that on returns ends this. Throws a GodwitError if the direction
   * of the channel is to-server.
   */
  on(channel, f) {
    return this.listen(channel, f);
  }
  listen(channel, f) {
    const id = this.idOf(channel);
    const c = this.table[id];
    if (c.direction === "to-server") {
      throw new GodwitError("direction", `channel "${channel}" is to-server: only the client sends on it`);
    }
    this.listeners[id] = new Set(this.listeners[id]).add(f);
    for (let b; b = this.unheard[id]?.take(); ) run(f, b);
    this.unheard[id] = null;
    return () => this.table[id] === c && this.listeners[id].delete(f);
  }
  /**
   * Yields the messages of a channel until the channel is closed or the session ends. If the loop is too slow, the oldest messages are lost on
   * unreliable channels, and on reliable channels the loop throws a GodwitError "overflow".
   */
  async *messages(channel) {
    const id = this.idOf(channel);
    const c = this.table[id];
    const waiting = this.unheard[id] ?? inboxOf(c);
    this.unheard[id] = null;
    let wake = () => {
    };
    const off = this.listen(channel, (b) => {
      waiting.push(b);
      wake();
    });
    const end = () => wake();
    this.ended.signal.addEventListener("abort", end);
    this.addEventListener("channelclosed", end);
    try {
      for (; ; ) {
        const b = waiting.take();
        if (b) yield b;
        else if (waiting.lost && isReliable(c.mode))
          throw new GodwitError(
            "overflow",
            `channel "${c.name}": its queueLimit of ${c.queueLimit} bytes is reached: take messages sooner`
          );
        else if (this.ended.signal.aborted || this.table[id] !== c) return;
        else await new Promise((resolve) => wake = resolve);
      }
    } finally {
      off();
      this.ended.signal.removeEventListener("abort", end);
      this.removeEventListener("channelclosed", end);
    }
  }
  /**
   * Adds a channel to this session and returns it with all its fields. The server limits how many channels a client may
   * have open at a time, and their queueLimit: Config.MaxClientChannels and MaxClientQueue. Messages on the channel wait
   * in its queue until the server has acknowledged the channel, which takes one round trip. The channel lasts until
   * either end closes it or the session ends, also over new links and, with keep, in the next page. Throws a SendError
   * "closed", "budget", or "fixed" if a limit of the server is exceeded or the session is not open yet, and a
   * ConnectError "table" if the table would not be valid.
   */
  openChannel(channel) {
    const c = this.session.openChannel(now(), channel);
    this.flushSoon();
    return c;
  }
  /**
   * Closes a channel that either end has opened at run time. From now on send throws a SendError "channel". The messages
   * that wait in its queue are sent, and those that the server has sent arrive. When both ends have nothing more to send,
   * the event channelclosed comes, after all receipts of the channel; messages that no function has taken until then are
   * lost. Then the name may be used again. closeChannel does not wait. Throws a SendError "channel" if there is no such
   * channel or it is being closed, "fixed" if it cannot be closed, or "closed".
   */
  closeChannel(channel) {
    this.session.closeChannel(this.idOf(channel));
    this.flushSoon();
  }
  /**
   * Sends a request to the server. Resolves with the bytes of the reply, or with undefined if it has none. Rejects with
   * a RequestError, with a SendError if nothing was sent, or with the reason of the signal: the answer is then ignored.
   */
  request(name, b = nothing, { signal } = {}) {
    const progress = {};
    const answer = async () => {
      signal?.throwIfAborted();
      const call = progress.call = this.session.call(now(), name, view(b));
      const abort = () => call.reject(signal.reason);
      this.flushSoon();
      signal?.addEventListener("abort", abort);
      try {
        return await call.promise;
      } finally {
        signal?.removeEventListener("abort", abort);
      }
    };
    return this.pend(answer(), progress);
  }
  /**
   * Returns how far a request, or a message with a receipt, has got; p is the promise that request or send returned.
   * "sending" until the server has acknowledged it, then, for a request, "waiting" for the answer; undefined once p has
   * settled.
   */
  status(p) {
    const progress = this.pending.get(p);
    return progress && (progress.call?.sent ? "waiting" : "sending");
  }
  /** Delays the end of the session until p has settled. */
  pend(p, progress) {
    const done = () => this.pending.delete(p);
    this.pending.set(p, progress);
    p.then(done, done);
    return p;
  }
  /**
   * Answers the requests of the server with a name with what f returns, and rejects them with what f throws. A second
   * call with the same name replaces f.
   */
  handle(name, f) {
    this.handlers.set(name, f);
  }
  /**
   * Ends the session. Reliable messages are delivered first, for at most drain ms (10 s unless given), and only while
   * packets of the server arrive. The event close comes after that. Codes of the program are from 256 to 65535;
   * CloseCode.Program is the first.
   */
  close(code = CloseCode.Normal, reason = "", drain = drainTime) {
    this.session.close(now(), Math.min(code >>> 0, maxCode), reason, drain > 0 ? +drain : 0);
    this.flushSoon();
    return this.closed;
  }
  /**
   * Returns the size in bytes of the largest message that send accepts on a channel now, or -1 if it accepts none: the
   * queue is full, only the server sends on the channel, or the session has ended. An unreliable channel always has
   * room, because it drops its oldest message. The event room comes when a queue that was full has room again.
   */
  free(channel) {
    const s = this.session.mux.outbox.senders[this.idOf(channel)];
    return this.state === "closed" ? -1 : s.free();
  }
  stats() {
    return { ...this.session.mux.stats(), link: this.link };
  }
  channelStats(channel) {
    return this.session.mux.channelStats(this.idOf(channel));
  }
  // ---- what the session tells ------------------------------------------------------------------------------------
  idOf(channel) {
    const id = this.table.findIndex((c, i) => c?.name === channel && !this.session.ending.has(i));
    if (id < 1)
      throw new SendError(
        "channel",
        `no channel "${channel}": there is ${Object.values(this.table).slice(1).map((c) => c.name).join(", ") || "none"}`
      );
    return id;
  }
  events() {
    return {
      opened: () => {
        const { times } = this;
        times.total = now() - this.started;
        times.hello = times.total - times.hello;
        this.opening.resolve();
      },
      message: (channel, b) => {
        const waiting = this.unheard[channel];
        if (waiting) waiting.push(b);
        else for (const f of this.listeners[channel] ?? []) if (this.listeners[channel].has(f)) run(f, b);
      },
      request: (id, name, b) => void this.serve(id, name, b),
      channel: (c, id, own2) => {
        this.unheard[id] = inboxOf(c);
        if (!own2) this.dispatchEvent(new ChannelEvent("channel", c));
      },
      channelClosed: (c, id) => {
        this.unheard[id] = null;
        this.listeners[id] = /* @__PURE__ */ new Set();
        this.dispatchEvent(new ChannelEvent("channelclosed", c));
      },
      interrupted: () => {
        this.dispatchEvent(new Event("interrupted"));
        void this.seeker.reconnect();
      },
      resumed: () => {
        this.failure = void 0;
        this.dispatchEvent(new Event("resumed"));
      },
      moved: (seat) => {
        try {
          this.goal = { ...JSON.parse(seat) };
        } catch {
        }
        this.flushSoon();
      },
      closed: (code, reason, remote, lostOut, lostIn) => {
        const error = code === CloseCode.Timeout && this.failure;
        const seat = code === CloseCode.Moved && this.goal;
        const why = { code, reason, remote, lostOut, lostIn, ...error && { error }, ...seat && { seat } };
        this.seeker.stop();
        const again2 = renewable(code) || !remote && code === CloseCode.ProtocolError;
        this.opening.reject(new ConnectError("closed", reason || `code ${code}`, again2 ? { retryAfter: 0 } : {}));
        this.ended.abort();
        void Promise.allSettled(this.pending.keys()).then(() => {
          this.dispatchEvent(new ConnCloseEvent(why));
          this.closing.resolve(why);
        });
        this.flushSoon();
      }
    };
  }
  /** Answers a request of the server. @internal */
  async serve(id, name, b) {
    if (!this.handlers.has(name)) await sleep(0);
    const f = this.handlers.get(name);
    try {
      if (!f) throw new Error(`no handler for requests "${name}": set one with conn.handle`);
      const answer = await f(b);
      this.session.answer(now(), id, answer ? view(answer) : void 0);
    } catch (e) {
      this.session.reject(now(), id, words(e));
    }
    this.flushSoon();
  }
  // ---- links -----------------------------------------------------------------------------------------------------
  /** Ends the session at once. @internal */
  endNow() {
    this.session.failWith(now(), CloseCode.Normal, "");
    this.flush();
  }
  /** Ends the session, because there is no way to the server. @internal */
  giveUp(e) {
    if (e instanceof ConnectError) this.failure = e;
    this.opening.reject(e);
    this.session.failWith(now(), CloseCode.Timeout, words(e));
  }
  /** Continues over a new link. The old link is closed. @internal */
  move(link) {
    const { session } = this;
    if (session.phase === closed) return link.close();
    const before2 = this.link;
    this.carrier?.close();
    this.carrier = link;
    this.link = link.name;
    session.home = link.home;
    session.link(now(), Math.max(1, (link.times.ice + link.times.transport) / 3), link.reliable);
    link.attach({
      datagram: (b, at) => typeof b !== "string" && this.onDatagram(b, at),
      drained: this.flush,
      refused: (b) => this.seeker.refused(refused(b.subarray(1), this.table)),
      ended: this.seeker.ended
    });
    this.seeker.seek();
    this.flush();
    if (before2 && before2 !== this.link && session.phase === open) this.dispatchEvent(new Event("link"));
  }
  // ---- datagrams and time ----------------------------------------------------------------------------------------
  onDatagram(b, t) {
    const { session, timerAt } = this;
    this.wake(t);
    session.receive(t, b);
    this.seeker.heard();
    if (t >= timerAt) session.advance(t);
    if (session.idle(t)) this.rest(t);
    else this.flush();
  }
  /** @internal */
  flushSoon() {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(this.flush);
  }
  /** Sets the timer, for latest if no deadline is earlier. Releases the link of a session that is over. */
  rest(t, ready = true, latest = Infinity) {
    const { carrier: link, session } = this;
    if (session.phase === closed && (!link || session.over())) return this.release();
    let at = Math.min(session.deadline(), latest);
    if (!link || !ready) at = link?.reliable ? t + fullPause : Math.max(at, t + 50);
    if (at >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(this.ring, Math.min(at - t, 1e9));
  }
  /** Tells the Mux, at t, if the page slept, which the lateness of the timer shows. */
  wake(t) {
    if (t - this.timerAt > asleep) {
      this.timerAt = Infinity;
      this.session.mux.slept(t);
    }
    return t;
  }
  release() {
    clearTimeout(this.timer);
    this.carrier?.close();
    this.watchPage("removeEventListener");
  }
  /** Adds or removes the listeners of the page. Node and workers may not have these functions. */
  watchPage(how) {
    globalThis[how]?.("pagehide", this.pagehide);
    globalThis[how]?.("pageshow", this.pageshow);
    globalThis[how]?.("online", this.seeker.network);
    connection()?.[how]("change", this.seeker.network);
  }
};

// src/connect.ts
var maxMoves = 4;
var settled = 3e4;
async function connect(target, options, begin) {
  const conn = new Conn(target, options, begin);
  await conn.opened;
  return conn;
}
async function* sessions(target, options, via = connect) {
  const take = async (to, tcp) => {
    const seat = to;
    const { invite, url, token = "" } = seat;
    const { gone } = options;
    if (!invite && !url) return via(to, options);
    const at = invite && !(url && (tcp || !direct())) ? invite : url;
    return via(at, { ...options, token, request: {}, ...gone && { gone: () => gone(seat) } });
  };
  const next = async () => take(typeof target === "function" ? await fetched(target, "invite", "function for invites") : target);
  let moves = 0;
  for (let conn = await next(); ; ) {
    const began = now();
    let seat;
    try {
      yield conn;
      const why = await conn.closed;
      if (!renewable(why.code)) return;
      seat = why.seat;
    } finally {
      void conn.close();
    }
    moves = seat ? now() - began < settled ? moves + 1 : 1 : 0;
    const { link } = conn;
    const follow = seat && moves <= maxMoves && (() => take(seat, link === "websocket"));
    conn = await again(next, options.signal, moves - maxMoves, follow);
  }
}
async function again(connect2, signal, circles, follow) {
  const pause = backoff();
  while (--circles > 0) pause(0);
  for (let after = 0; ; follow = void 0) {
    if (!follow) await sleep(pause(after), signal);
    try {
      return await (follow || connect2)();
    } catch (e) {
      signal?.throwIfAborted();
      after = e instanceof ConnectError ? e.retryAfter : void 0;
      if (follow) after ??= 0;
      if (after === void 0) throw e;
    }
  }
}

// src/raw.ts
var largest = 1160;
var RawConn = class extends EventTarget {
  /** @internal */
  constructor(link) {
    super();
    this.link = link;
    /** Number of datagrams that were not sent, because the queue of the browser was full or the connection has ended. */
    this.dropped = 0;
    this.times = link.times;
    link.attach({
      datagram: (data) => this.dispatchEvent(new MessageEvent("message", { data })),
      drained: () => {
      },
      ended: () => this.dispatchEvent(new Event("close"))
    });
  }
  /**
   * Sends one datagram of at most 1160 bytes, and returns whether the browser has taken it. If the datagram would have
   * to wait, it is dropped, because it would be old later. In a UDP packet it takes its size, rounded up to a multiple
   * of four, plus 65 bytes. A datagram that is larger than the path carries is always lost, without an error. Throws a
   * SendError if data is too large, or neither bytes nor a string.
   */
  send(data) {
    const b = typeof data === "string" ? bytesOf(data) : view(data);
    if (b.length > largest) throw new SendError("size", `the datagram has ${b.length} bytes: at most ${largest}`);
    const own2 = b.buffer instanceof ArrayBuffer ? b : b.slice();
    const sent = this.link.ready(now()) && this.link.send(typeof data === "string" ? data : own2);
    if (!sent) this.dropped++;
    return sent;
  }
  close() {
    this.link.close();
  }
};
async function connectRaw(url, { label = "data", protocol = "", token, signal = new AbortController().signal, timeout, request } = {}) {
  const authorization = token && `Bearer ${token}`;
  const link = await openLink({
    label,
    init: { protocol },
    exchange: async (offer, either) => (await exchange(absolute(url), offer, authorization, request, [], either)).sdp,
    timeout,
    signal
  });
  const { times } = link;
  times.total = times.offer + times.http + times.ice + times.transport;
  return new RawConn(link);
}

// src/saved.ts
function snapshotSession(s, shift2) {
  const { outbox, receivers } = s.mux;
  const { table } = s.config;
  if (s.phase !== open || s.closing) return;
  return [
    s.grace,
    `${s.id}`,
    s.token,
    s.moves,
    s.lastID,
    [...s.serving],
    table.flatMap((c, i) => [
      [i, c, outbox.senders[i] && snapshotSender(outbox.senders[i], shift2), receivers[i] && snapshotReceiver(receivers[i])]
    ]),
    s.inbox.map(([channel, b]) => [channel, b]),
    s.theirs,
    s.closes,
    s.maxQueue,
    s.opening,
    [...s.ending],
    s.home,
    s.next
  ];
}
function restoreSession(s, t, saved, shift2) {
  const { outbox, receivers } = s.mux;
  const [grace, id, token, moves, lastID, serving, channels, inbox, theirs, closes, maxQueue2, opening, ending, home, next] = saved;
  outbox.abandon();
  for (const [i, c, sender, receiver] of channels) {
    if (i >= s.tableSize) s.addChannel(nextChannel([], c), i);
    if (sender) {
      outbox.senders[i].shut = opening.includes(i);
      restoreSender(outbox, t, i, sender, shift2);
    } else outbox.remove(i);
    if (receiver) restoreReceiver(receivers[i], t, receiver);
    else s.mux.stopReceiving(i);
  }
  for (const [id2, request] of serving) s.serving.set(id2, request);
  s.inbox.push(...inbox);
  Object.assign(s, {
    id: BigInt(id),
    token,
    grace,
    moves,
    lastID,
    theirs,
    closes,
    maxQueue: maxQueue2,
    opening,
    ending: new Set(ending),
    home,
    next,
    phase: open
  });
}

// src/keep.ts
var maxSaved = 2 << 20;
var version = 6;
function suspend(conn) {
  const saved = save(conn);
  if (saved) leave(conn);
  return saved;
}
async function resume(target, options, saved) {
  options.signal?.throwIfAborted();
  return connect(target, options, (c) => restore(c, saved));
}
async function keep(target, options, key = `godwit ${inviteOf(target)?.fingerprint ?? /[^?#]*/.exec(`${absolute(target)}`)}`) {
  await null;
  options.signal?.throwIfAborted();
  let saved = null;
  try {
    saved = sessionStorage.getItem(key);
    sessionStorage.removeItem(key);
  } catch {
  }
  const frozen = deferred();
  const kept = (begin) => connect(target, options, (conn) => {
    const c = conn;
    let saved2 = "";
    c.hide = () => hide(c, key);
    c.onFreeze = () => {
      frozen.resolve();
      try {
        sessionStorage.setItem(key, saved2 = save(c));
      } catch {
        saved2 = "";
      }
    };
    c.onBack = () => {
      if (!saved2) return true;
      if (sessionStorage.getItem(key) !== saved2) return false;
      sessionStorage.removeItem(key);
      return true;
    };
    void c.closed.then(c.onBack);
    begin(c);
  });
  if (saved) {
    try {
      return await kept((c) => claim(c, saved, key, frozen.promise));
    } catch (e) {
      if (sessionStorage.getItem(key)) throw e;
    }
  }
  return kept((c) => void c.seeker.begin());
}
function claim(c, saved, key, frozen) {
  const { locks } = navigator;
  const { hide: hide2 } = c;
  c.hide = () => {
    sessionStorage.setItem(key, saved);
    c.endNow();
  };
  const go = (lock) => {
    c.hide = hide2;
    restore(c, lock ? saved : "");
    return Promise.race([c.closed, frozen]);
  };
  const alone = () => go(c);
  if (locks)
    locks.request(`godwit ${hash(saved)}`, { ifAvailable: true }, go).catch(alone);
  else alone();
}
function leave(c) {
  c.carrier?.close();
  c.carrier = null;
  c.unheard.fill(null);
  c.session.mux.outbox.abandon();
  c.session.finish(CloseCode.Normal, "suspended", false);
}
function hide(c, key) {
  const saved = save(c);
  try {
    if (!saved || saved.length > maxSaved) throw saved;
    sessionStorage.setItem(key, saved);
    leave(c);
  } catch {
    c.endNow();
  }
}
var shift = () => Date.now() - performance.now();
function save({ session, unheard, table }) {
  const saved = snapshotSession(session, shift());
  if (!saved) return "";
  const waiting = unheard.map((inbox, i) => inbox && isReliable(table[i].mode) ? snapshotInbox(inbox) : []);
  return JSON.stringify([version, Date.now(), saved, waiting], encode);
}
function restore(c, json2) {
  const { session } = c;
  const t = performance.now();
  if (session.phase) return;
  try {
    const [form2, at, saved, unheard] = JSON.parse(json2, decode);
    const age = Date.now() - at;
    must(form2 === version && age >= 0 && age <= saved[0]);
    restoreSession(session, t, saved, shift());
    unheard.forEach((messages, i) => messages && restoreInbox(c.unheard[i], messages));
    c.continued = true;
    c.addEventListener(
      "resumed",
      () => {
        c.opening.resolve();
        for (const [id, [name, b]] of session.serving) void c.serve(id, name, b);
      },
      { once: true }
    );
    session.interrupt(t - age);
    c.flushSoon();
  } catch (cause) {
    c.giveUp(new ConnectError("resume", "the saved session has ended, or another page has it", { cause }));
  }
}
function encode(_, v) {
  if (!(v instanceof Uint8Array)) return v;
  let b = "";
  for (let i = 0; i < v.length; i += 4096) b += String.fromCharCode(...v.subarray(i, i + 4096));
  return { b: btoa(b) };
}
var decode = (_, v) => typeof v?.b === "string" ? Uint8Array.from(atob(v.b), (c) => c.charCodeAt(0)) : v;
export {
  ChannelEvent,
  CloseCode,
  Conn,
  ConnCloseEvent,
  ConnectError,
  GodwitError,
  RawConn,
  RequestError,
  SendError,
  connect,
  connectRaw,
  keep,
  resume,
  sessions,
  suspend
};
