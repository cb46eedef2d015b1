// @godwit/client. MIT licence. https://github.com/godwit-rtc/godwit

// src/errors.ts
var GodwitError = class extends Error {
  code;
  constructor(code, message, cause) {
    super(`godwit: ${message}`, cause === void 0 ? void 0 : { cause });
    this.name = new.target.name;
    this.code = code;
  }
};
var SendError = class extends GodwitError {
};
var ConnectError = class extends GodwitError {
  /** The HTTP status of a refusal; 0 if it is not one. */
  status;
  /** Everything the server said: versions, the reason a token was refused for, its table. */
  details;
  /** Milliseconds after which to try again; undefined if trying again is of no use. */
  retryAfter;
  constructor(code, message, more = {}) {
    super(code, message, more.cause);
    this.status = more.status ?? 0;
    this.details = more.details ?? {};
    this.retryAfter = more.retryAfter;
  }
};
var RequestError = class extends GodwitError {
};

// src/wire.ts
var maxPacket = 1150;
var version = 1;
var versionShift = 4;
var flagNumber = 3;
var flagAck = 1 << 2;
var flagGaps = 1 << 3;
var maxRanges = 32;
var delayUnit = 0.256;
var maxDelay = 1 << 14;
var frameControl = 0;
var frameMessage = 1;
var frameFragment = 2;
var frameBare = 3;
var controlPadding = 0;
var controlPing = 1;
var controlClose = 2;
var controlExtension = 32;
var pieceSize = 1024;
var maxFragmentHeader = 1 + 8 + 2 + 4;
var maxMessage = 8 << 20;
var maxCloseText = 256;
var maxVarint = Number.MAX_SAFE_INTEGER;
var utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
var nothing = new Uint8Array(0);
var pieces = (n) => Math.max(1, Math.ceil(n / pieceSize));
function varintLen(v) {
  let n = 1;
  for (; v >= 128; n++) v = Math.floor(v / 128);
  return n;
}
var Writer = class {
  b;
  n = 0;
  constructor(b) {
    this.b = b;
  }
  byte(v) {
    this.b[this.n++] = v;
  }
  varint(v) {
    for (; v >= 128; v = Math.floor(v / 128)) this.b[this.n++] = v % 128 | 128;
    this.b[this.n++] = v;
  }
  bytes(v) {
    this.b.set(v, this.n);
    this.n += v.length;
  }
};
var Reader = class {
  b = nothing;
  at = 0;
  byte() {
    return this.at < this.b.length ? this.b[this.at++] : -1;
  }
  /** In the fewest bytes, and at most 2^53 - 1. */
  varint() {
    let v = 0;
    let unit = 1;
    for (let i = 0; i < 8; i++) {
      const c = this.byte();
      if (c < 128) return c < 0 || c === 0 && i > 0 || v + c * unit > maxVarint ? -1 : v + c * unit;
      v += (c & 127) * unit;
      unit *= 128;
    }
    return -1;
  }
  /** n bytes, or null. */
  take(n) {
    if (n < 0 || n > this.b.length - this.at) return null;
    this.at += n;
    return this.b.subarray(this.at - n, this.at);
  }
};
var AckBlock = class {
  largest = 0;
  delay = 0;
  first = 0;
  ranges = 0;
  gaps = new Float64Array(maxRanges - 1);
  lengths = new Float64Array(maxRanges - 1);
  /** How far below largest the block reaches. */
  span() {
    let n = this.first;
    for (let i = 0; i < this.ranges; i++) n += this.gaps[i] + this.lengths[i] + 2;
    return n;
  }
  parse(r, gaps) {
    const high = r.byte();
    const low = r.byte();
    if (low < 0) return false;
    this.largest = high << 8 | low;
    this.delay = r.varint();
    this.first = r.varint();
    this.ranges = 0;
    if (this.delay < 0 || this.delay > maxDelay || this.first < 0) return false;
    if (!gaps) return true;
    const n = r.byte();
    if (n <= 0 || n >= maxRanges) return false;
    for (; this.ranges < n; this.ranges++) {
      const gap = r.varint();
      const length = r.varint();
      if (gap < 0 || length < 0) return false;
      this.gaps[this.ranges] = gap;
      this.lengths[this.ranges] = length;
    }
    return true;
  }
  /** Returns the flags that go with it. Ranges that would take it past end are left out, oldest first. */
  append(w, end) {
    w.byte(this.largest >> 8);
    w.byte(this.largest & 255);
    w.varint(this.delay);
    w.varint(this.first);
    const count = w.n;
    let n = 0;
    for (w.n++; n < this.ranges; n++) {
      const gap = this.gaps[n];
      const length = this.lengths[n];
      if (w.n + varintLen(gap) + varintLen(length) > end) break;
      w.varint(gap);
      w.varint(length);
    }
    if (n === 0) {
      w.n = count;
      return flagAck;
    }
    w.b[count] = n;
    return flagAck | flagGaps;
  }
};
var Packet = class extends Reader {
  number = 0;
  // truncated
  numberLen = 0;
  hasAck = false;
  ack = new AckBlock();
  frames = 0;
  // where they begin
  // The frame.
  kind = 0;
  channel = 0;
  // or the control kind
  id = 0;
  index = 0;
  total = 0;
  code = 0;
  payload = nothing;
  /** Reads all but the frames, and reports whether b is well-formed so far. */
  parse(b) {
    this.b = b;
    this.at = 0;
    const flags = this.byte();
    if (flags < 0 || flags >> versionShift !== version) return false;
    this.numberLen = (flags & flagNumber) + 1;
    this.number = 0;
    for (let i = 0; i < this.numberLen; i++) {
      const c = this.byte();
      if (c < 0) return false;
      this.number = this.number * 256 + c;
    }
    this.hasAck = (flags & flagAck) !== 0;
    const gaps = (flags & flagGaps) !== 0;
    if (this.hasAck ? !this.ack.parse(this, gaps) : gaps) return false;
    this.frames = this.at;
    return this.hasAck || this.more();
  }
  more() {
    return this.at < this.b.length;
  }
  /** Back to the first frame. */
  rewind() {
    this.at = this.frames;
  }
  /** Reads the next frame, and reports whether it is well-formed. */
  next() {
    const head = this.byte();
    this.kind = head >> 6;
    this.channel = head & 63;
    if (this.kind === frameControl) return this.control();
    if (this.kind !== frameBare && (this.id = this.varint()) < 0) return false;
    if (this.kind === frameFragment) return this.fragment();
    const n = this.varint();
    return n <= pieceSize && this.body(n);
  }
  body(n) {
    const b = this.take(n);
    if (b) this.payload = b;
    return b !== null;
  }
  fragment() {
    this.index = this.varint();
    this.total = this.varint();
    if (this.index < 0 || this.total <= pieceSize || this.total > maxMessage || this.index >= pieces(this.total)) {
      return false;
    }
    return this.body(Math.min(pieceSize, this.total - this.index * pieceSize));
  }
  control() {
    const kind = this.channel;
    if (kind === controlPadding || kind === controlPing) return true;
    if (kind < controlExtension && (kind !== controlClose || (this.code = this.varint()) < 0)) return false;
    if (!this.body(this.varint())) return false;
    return kind !== controlClose || this.payload.length <= maxCloseText && text(this.payload) !== null;
  }
  /** Whether the frame's packet wants an acknowledgement. */
  eliciting() {
    return this.kind !== frameControl || this.channel !== controlPadding;
  }
};
function text(b) {
  try {
    return utf8.decode(b);
  } catch {
    return null;
  }
}
function appendHeader(w, number) {
  const n = number < 1 << 15 ? 2 : 3;
  w.byte(version << versionShift | n - 1);
  if (n === 3) w.byte(number >>> 16 & 255);
  w.byte(number >>> 8 & 255);
  w.byte(number & 255);
}
function expand(truncated, n, expected) {
  const win = 256 ** n;
  const v = expected - expected % win + truncated;
  if (v + win / 2 <= expected) return v + win;
  return v > expected + win / 2 && v >= win ? v - win : v;
}
function pieceLen(bare, id, size, i) {
  if (size > pieceSize) {
    return 1 + varintLen(id) + varintLen(i) + varintLen(size) + Math.min(pieceSize, size - i * pieceSize);
  }
  return 1 + (bare ? 0 : varintLen(id)) + varintLen(size) + size;
}
function appendPiece(w, ch, bare, id, body, i) {
  const size = body.length;
  if (size > pieceSize) {
    w.byte(frameFragment << 6 | ch);
    w.varint(id);
    w.varint(i);
    w.varint(size);
    w.bytes(body.subarray(i * pieceSize, (i + 1) * pieceSize));
    return;
  }
  w.byte((bare ? frameBare : frameMessage) << 6 | ch);
  if (!bare) w.varint(id);
  w.varint(size);
  w.bytes(body);
}
function appendClose(w, code, reason) {
  w.byte(controlClose);
  w.varint(code);
  w.varint(reason.length);
  w.bytes(reason);
}

// src/channel.ts
var messageCost = 32;
var maxPriority = 7;
var maxWeight = 1e3;
var maxChannels = 63;
var maxQueue = 64 << 20;
var maxName = 64;
var isReliable = (mode) => mode.startsWith("r");
var controlChannel = full({
  name: "control",
  mode: "reliable-ordered",
  maxMessage: 64 << 10,
  queueLimit: 256 << 10
});
function full(c) {
  const reliable = isReliable(c.mode);
  const largest = c.maxMessage || (reliable ? 256 << 10 : 16 << 10);
  return {
    name: c.name,
    mode: c.mode,
    direction: c.direction ?? "both",
    maxMessage: largest,
    queueLimit: c.queueLimit || Math.max(reliable ? 1 << 20 : 64 << 10, largest + messageCost),
    priority: c.priority ?? 0,
    guarantee: c.guarantee ?? 0,
    weight: c.weight || 1,
    copies: c.copies ?? 0
  };
}
var modes = ["unreliable", "sequenced", "reliable-unordered", "reliable-ordered"];
var directions = ["both", "to-server", "to-client"];
function fullTable(channels) {
  const table = [controlChannel, ...channels.map(full)];
  if (table.length > maxChannels + 1) throw new ConnectError("table", "a table has at most 63 channels");
  const names = /* @__PURE__ */ new Set([controlChannel.name]);
  for (const c of table.slice(1)) {
    const field = wrong(c) ?? (names.has(c.name) ? "name" : null);
    if (field) throw new ConnectError("table", `channel ${JSON.stringify(c.name)}: bad or taken ${field}`);
    names.add(c.name);
  }
  return table;
}
function wrong(c) {
  const within = (v, least, most) => Number.isInteger(v) && v >= least && v <= most;
  const bytes = new TextEncoder().encode(c.name).length;
  if (bytes < 1 || bytes > maxName || /[\0- \x7f]/.test(c.name)) return "name";
  if (!modes.includes(c.mode)) return "mode";
  if (!directions.includes(c.direction)) return "direction";
  if (!within(c.maxMessage, 1, maxMessage)) return "maxMessage";
  if (!within(c.queueLimit, c.maxMessage + messageCost, maxQueue)) return "queueLimit";
  if (!within(c.priority, 0, maxPriority)) return "priority";
  if (!within(c.guarantee, 0, Number.MAX_SAFE_INTEGER)) return "guarantee";
  if (!within(c.weight, 1, maxWeight)) return "weight";
  return within(c.copies, -16, 16) ? null : "copies";
}
function tableText(table) {
  return table.slice(1).map((c, i) => `${i + 1} ${c.name} ${c.mode} ${c.direction} ${c.maxMessage} ${c.queueLimit}
`).join("");
}
function hash(text2) {
  let h = 0xcbf29ce484222325n;
  for (const c of new TextEncoder().encode(text2)) h = BigInt.asUintN(64, (h ^ BigInt(c)) * 0x100000001b3n);
  return h.toString(16).padStart(16, "0");
}
function firstDifference(ours, theirs) {
  const a = ours.split("\n");
  const b = theirs.split("\n");
  const i = a.findIndex((line, i2) => line !== b[i2]);
  return `"${a[i] || "nothing"}" here and "${b[i] || "nothing"}" at the server`;
}

// src/inbox.ts
var Inbox = class {
  constructor(limit, dropOldest) {
    this.limit = limit;
    this.dropOldest = dropOldest;
  }
  limit;
  dropOldest;
  lost = 0;
  // messages that there was no room for
  messages = [];
  bytes = 0;
  /** Keeps b, and forgets the oldest if there is no room, or b. */
  push(b) {
    this.messages.push(b);
    this.bytes += cost(b);
    while (this.bytes > this.limit) {
      const gone = this.dropOldest ? this.messages.shift() : this.messages.pop();
      this.bytes -= cost(gone);
      this.lost++;
    }
  }
  shift() {
    const b = this.messages.shift();
    if (b) this.bytes -= cost(b);
    return b;
  }
};
var cost = (b) => b.length + 32;

// src/link.ts
var maxBuffered = 2 * 1160;
var stuckAfter = 500;
var carefulFor = 1e3;
var Link = class {
  constructor(pc, channel, times) {
    this.pc = pc;
    this.channel = channel;
    this.times = times;
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = maxBuffered / 2;
    channel.onmessage = ({ data }) => {
      const b = typeof data === "string" ? data : new Uint8Array(data);
      if (this.owner) this.owner.datagram(b);
      else this.backlog.push(b);
    };
    channel.onbufferedamountlow = () => this.owner?.drained();
    channel.onclose = () => this.end();
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "failed" || pc.connectionState === "closed") this.end();
    };
  }
  pc;
  channel;
  times;
  owner = null;
  backlog = [];
  // came before there was an owner
  lastReady = 0;
  // when the browser's queue had room
  carefulUntil = 0;
  /** Gives the link its owner, and the owner what has come already. */
  attach(owner) {
    this.owner = owner;
    for (const b of this.backlog) this.owner?.datagram(b);
    if (this.channel.readyState !== "open") this.end();
  }
  /** Whether the browser would send a datagram soon. Ask as long as there is one. */
  ready(t) {
    const waiting = this.channel.bufferedAmount;
    if (waiting > maxBuffered && t - this.lastReady > stuckAfter) this.careful(t + carefulFor, 0);
    else if (t >= this.carefulUntil && this.carefulUntil > 0) this.careful(0, maxBuffered / 2);
    if (waiting > (this.carefulUntil > 0 ? 0 : maxBuffered)) return false;
    this.lastReady = t;
    return true;
  }
  careful(until, threshold) {
    this.carefulUntil = until;
    this.channel.bufferedAmountLowThreshold = threshold;
  }
  send(b) {
    try {
      if (typeof b === "string") this.channel.send(b);
      else this.channel.send(b);
    } catch {
    }
  }
  end() {
    const owner = this.owner;
    this.owner = null;
    owner?.ended();
  }
  /** Ends the link without a word to its owner. */
  close() {
    this.owner = null;
    this.pc.close();
  }
};
async function openLink(c) {
  const times = { offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 };
  let last = performance.now();
  const lap = () => -last + (last = performance.now());
  const timeout = AbortSignal.timeout(c.timeout);
  const signal = AbortSignal.any([c.signal, timeout]);
  signal.throwIfAborted();
  const pc = new RTCPeerConnection();
  const channel = pc.createDataChannel(c.label, { ordered: false, maxRetransmits: 0, ...c.init });
  const link = new Link(pc, channel, times);
  const failed = new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    pc.addEventListener("connectionstatechange", () => {
      if (pc.connectionState === "failed") reject(new ConnectError("link", "WebRTC failed", { retryAfter: 0 }));
    });
  });
  failed.catch(() => {
  });
  const opened = new Promise((resolve) => channel.addEventListener("open", resolve));
  pc.addEventListener("iceconnectionstatechange", () => {
    if (pc.iceConnectionState === "connected" && !times.ice) times.ice = lap();
  });
  try {
    await pc.setLocalDescription();
    times.offer = lap();
    const answer = await Promise.race([c.exchange(pc.localDescription.sdp, signal), failed]);
    times.http = lap();
    await Promise.race([pc.setRemoteDescription(answer), failed]);
    await Promise.race([opened, failed]);
    times.transport = lap();
    return link;
  } catch (e) {
    link.close();
    if (timeout.aborted && !c.signal.aborted) {
      const what = times.http ? "UDP does not reach the server, or its answers do not come back" : "no answer to the offer";
      throw new ConnectError("timeout", `not open after ${c.timeout} ms: ${what}`, { cause: e, retryAfter: 0 });
    }
    c.signal.throwIfAborted();
    if (e instanceof ConnectError) throw e;
    throw new ConnectError("link", "WebRTC failed", { cause: e });
  }
}

// src/stats.ts
var channelStats = () => ({
  messagesOut: 0,
  messagesIn: 0,
  bytesOut: 0,
  bytesIn: 0,
  retransmits: 0,
  copies: 0,
  expired: 0,
  overflowed: 0,
  replaced: 0,
  overBudget: 0,
  stale: 0,
  duplicates: 0,
  queueTime: 0
});

// src/queue.ts
var pieceFlying = 1;
var pieceLost = 2;
var pieceAcked = 3;
var none = new Uint8Array(0);
var Message = class {
  next = null;
  prev = null;
  list = null;
  // the one it is in
  gen = 0;
  // which message this is, among those that used this memory
  ch = 0;
  handle = 0;
  id = 0;
  // on the wire; of no meaning until the first piece is sent
  key = 0;
  memory = none;
  // of which body is the beginning
  body = none;
  deadline = Infinity;
  queued = 0;
  receipt = false;
  pieces = [];
  count = 0;
  // pieces in use
  sent = 0;
  // pieces that were sent at least once
  acked = 0;
  lost = 0;
  // pieces to send again
  cost() {
    return this.body.length + messageCost;
  }
  /** Whether every piece has been acknowledged. */
  done() {
    return this.acked === this.count;
  }
  /** Copies b into the message. */
  fill(b) {
    if (b.length > this.memory.length || this.memory.length > 4 * b.length + 1024) {
      this.memory = new Uint8Array(Math.max(64, 2 ** Math.ceil(Math.log2(b.length || 1))));
    }
    if (this.body.length !== b.length || this.body.buffer !== this.memory.buffer) {
      this.body = this.memory.subarray(0, b.length);
    }
    this.body.set(b);
    this.count = pieces(b.length);
    this.sent = this.acked = this.lost = 0;
    for (let i = 0; i < this.count; i++) {
      const p = this.pieces[i] ??= { state: 0, copies: 0, number: 0, at: 0 };
      p.state = p.copies = p.number = 0;
    }
    this.pieces.length = this.count;
  }
};
var List = class {
  head = null;
  tail = null;
  n = 0;
  push(m) {
    m.list = this;
    m.prev = this.tail;
    m.next = null;
    if (this.tail) this.tail.next = m;
    else this.head = m;
    this.tail = m;
    this.n++;
  }
  remove(m) {
    if (m.prev) m.prev.next = m.next;
    else this.head = m.next;
    if (m.next) m.next.prev = m.prev;
    else this.tail = m.prev;
    m.list = m.prev = m.next = null;
    this.n--;
  }
};
var sendWindow = 4096;
var Sender = class {
  // a sequenced channel's queued message without one
  constructor(cfg, id, allowed) {
    this.cfg = cfg;
    this.id = id;
    this.allowed = allowed;
    this.reliable = isReliable(cfg.mode);
    this.bare = cfg.mode === "unreliable";
  }
  cfg;
  id;
  allowed;
  queue = new List();
  // not sent yet, but for the head, which may be sent in part
  waiting = new List();
  // sent, and something is still to be learned: oldest first
  cost = 0;
  // of both, and what counts against queueLimit
  lost = 0;
  // pieces of waiting and of the head to send again
  nextID = 0;
  active = false;
  // may have something to send
  pass = 0;
  // bytes sent over weight: the smallest goes first
  tokens = 0;
  // of the guaranteed share
  stats = channelStats();
  reliable;
  bare;
  refilled = 0;
  keys = /* @__PURE__ */ new Map();
  // queued messages with a key
  latest = null;
  /**
   * The queued message that a new one with this key makes useless. One that has been sent in part is finished, or a
   * stream of large messages on a slow link would never deliver any.
   */
  replaced(key) {
    const old = key ? this.keys.get(key) : this.latest;
    return old && old.sent === 0 ? old : null;
  }
  remember(m) {
    if (m.key) this.keys.set(m.key, m);
    else if (this.cfg.mode === "sequenced") this.latest = m;
  }
  /** Undoes remember. */
  forget(m) {
    if (m.key && this.keys.get(m.key) === m) this.keys.delete(m.key);
    if (this.latest === m) this.latest = null;
  }
  /** Whether the head of the queue may be sent. */
  inWindow() {
    const oldest = this.waiting.head;
    return !oldest || !this.reliable || this.nextID - oldest.id < sendWindow;
  }
  /** The oldest message with a piece to send again. */
  firstLost() {
    let m = this.waiting.head;
    while (m && m.lost === 0) m = m.next;
    return m ?? this.queue.head;
  }
  /** How often a message may ride again: as often as it takes that one in a thousand is lost each time, 2 to 6. */
  copies(loss) {
    return this.cfg.copies || Math.min(6, Math.max(2, Math.ceil(Math.log(1e-3) / Math.log(loss) - 1)));
  }
  /** Refills and returns what is left of the guaranteed share. */
  share(t, packet) {
    const rate = this.cfg.guarantee;
    const burst = Math.max(rate / 4, 2 * packet);
    this.tokens = Math.min(burst, this.tokens + rate * (t - this.refilled) / 1e3);
    this.refilled = t;
    return this.tokens;
  }
  /** Whether this one goes before o. */
  before(o, share, otherShare) {
    if (share !== otherShare) return share;
    if (this.cfg.priority !== o.cfg.priority) return this.cfg.priority < o.cfg.priority;
    return this.pass < o.pass;
  }
};

// src/close.ts
var closeRepeats = 6;
var closeInterval = 20;
var Closing = class {
  byPeer = false;
  // the peer has closed
  begun = false;
  // we have
  left = 0;
  // close frames to send
  next = Infinity;
  // when
  gap = closeInterval;
  code = 0;
  reason = new Uint8Array(0);
  any() {
    return this.begun || this.byPeer;
  }
  begin(t, code, reason) {
    this.begun = true;
    this.left = closeRepeats;
    this.next = t;
    this.code = code;
    this.reason = cut(reason, maxCloseText);
  }
  relink(t) {
    if (this.begun) this.next = t;
  }
  /** Takes note that the peer knows. */
  acked() {
    this.left = 0;
    this.next = Infinity;
  }
  /** Appends the close frame if it is time for one. */
  append(w, t) {
    if (this.left === 0 || t < this.next) return false;
    this.left--;
    this.next = this.left ? t + this.gap : Infinity;
    this.gap *= 2;
    appendClose(w, this.code, this.reason);
    return true;
  }
};
function cut(text2, n) {
  const b = new Uint8Array(n);
  return b.subarray(0, new TextEncoder().encodeInto(text2, b).written);
}

// src/control.ts
var typeHello = 1;
var typeWelcome = 2;
var typeRequest = 3;
var typeReply = 4;
var typeAck = 5;
var typeReject = 6;
var typeHere = 7;
var typeExtension = 128;
var maxHello = 1024;
var maxName2 = 64;
var maxText = 256;
var maxPayload = (64 << 10) - 1 - 4 - 1 - maxName2;
var none2 = new Uint8Array(0);
function parseControl(b) {
  const type = b[0] ?? 0;
  const c = { type, id: 0, name: "", text: "", payload: none2, session: 0n, token: none2, grace: 0 };
  const v = new DataView(b.buffer, b.byteOffset, b.length);
  if (type === typeHello) {
    if (b.length < 3) return null;
    const n = v.getUint16(1);
    c.payload = b.subarray(3, 3 + n);
    return n <= maxHello && c.payload.length === n ? c : null;
  }
  if (type === typeWelcome) {
    if (b.length < 33) return null;
    c.session = v.getBigUint64(1);
    c.token = b.slice(9, 25);
    c.grace = v.getUint32(25);
    return c;
  }
  if (type < typeRequest || type > typeHere) return type >= typeExtension ? c : null;
  if (b.length < 5) return null;
  c.id = v.getUint32(1);
  const rest = b.subarray(5);
  if (type === typeReply) c.payload = rest;
  if (type === typeRequest) {
    const n = rest[0] ?? 0;
    const name = rest.length > n ? text(rest.subarray(1, 1 + n)) : null;
    if (n === 0 || n > maxName2 || name === null) return null;
    c.name = name;
    c.payload = rest.subarray(1 + n);
  }
  if (type === typeReject) {
    const text2 = rest.length <= maxText ? text(rest) : null;
    if (text2 === null) return null;
    c.text = text2;
  }
  return c.payload.length <= maxPayload ? c : null;
}
function hello(message) {
  return Uint8Array.of(typeHello, message.length >> 8, message.length & 255, ...message);
}
function numbered(type, id, ...parts) {
  const b = new Uint8Array(parts.reduce((n, p) => n + p.length, 5));
  b[0] = type;
  new DataView(b.buffer).setUint32(1, id);
  let at = 5;
  for (const p of parts) {
    b.set(p, at);
    at += p.length;
  }
  return b;
}

// src/ack.ts
var maxAckDelay = 20;
var window = 4096;
var words = window / 32;
var lossSpan = 64;
var Received = class {
  next = 0;
  // one more than the largest that came
  eliciting = 0;
  // packets that came since the last ack block and want one
  due = Infinity;
  // when one must leave
  loss = 0;
  // share of the peer's packets that do not come, smoothed
  floor = 0;
  // the peer knows of all that came below this
  bits = new Uint32Array(words);
  lastAt = 0;
  // when the largest came
  spanStart = 0;
  spanCame = 0;
  expand(p) {
    return expand(p.number, p.numberLen, this.next);
  }
  /** Whether a packet came for the first time. One that is older than the window counts as known. */
  fresh(n) {
    return n >= this.next || this.next - n <= window && (this.word(n) & 1 << n) === 0;
  }
  word(n) {
    return this.bits[(n >>> 5) % words];
  }
  /** Takes note of a fresh packet. */
  mark(t, n, eliciting) {
    const gap = n !== this.next;
    if (n >= this.next) {
      this.forget(n);
      this.next = n + 1;
      this.lastAt = t;
    }
    this.bits[(n >>> 5) % words] |= 1 << n;
    this.floor = Math.min(this.floor, n);
    this.measure(n);
    if (!eliciting) return;
    this.eliciting++;
    this.due = gap ? t : Math.min(this.due, t + maxAckDelay);
  }
  /** Clears the window's bits that numbers up to n now stand for. */
  forget(n) {
    if (n - this.next >= window) {
      this.bits.fill(0);
      return;
    }
    for (let i = this.next; i <= n; i++) {
      if ((i & 31) === 0 && i + 31 <= n) {
        this.bits[(i >>> 5) % words] = 0;
        i += 31;
      } else {
        this.bits[(i >>> 5) % words] &= ~(1 << i);
      }
    }
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
  /** Fills a with what came, newest ranges first. */
  block(t, a) {
    const low = Math.max(this.floor, this.next - window);
    const largest = this.next - 1;
    a.largest = largest & 65535;
    a.delay = Math.min(maxDelay, Math.floor((t - this.lastAt) / delayUnit));
    let start = this.runStart(largest, low);
    a.first = largest - start;
    a.ranges = 0;
    while (start > low && a.ranges < maxRanges - 1) {
      const end = this.prior(start - 1, low);
      if (end < 0) return;
      a.gaps[a.ranges] = start - 2 - end;
      start = this.runStart(end, low);
      a.lengths[a.ranges++] = end - start;
    }
  }
  /** The first number of the run that ends at n. */
  runStart(n, low) {
    for (; ; ) {
      const room = (n & 31) + 1;
      const ones = Math.min(Math.clz32(~(this.word(n) << 32 - room)), room);
      n -= ones;
      if (n < low) return low;
      if (ones < room) return n + 1;
    }
  }
  /** The largest number up to n that came, or -1. */
  prior(n, low) {
    for (; ; ) {
      const room = (n & 31) + 1;
      const zeros = Math.min(Math.clz32(this.word(n) << 32 - room), room);
      n -= zeros;
      if (n < low) return -1;
      if (zeros < room) return n;
    }
  }
  /** Takes note that an ack block has left. */
  said() {
    this.eliciting = 0;
    this.due = Infinity;
  }
  /** Takes note that the peer knows all that came up to largest, because a packet came to it that said so. */
  confirmed(largest) {
    this.floor = Math.max(this.floor, largest + 1);
  }
};

// src/rtt.ts
var minVariance = 5;
var maxPTO = 1e3;
var RTT = class {
  latest;
  smoothed;
  variance;
  minimum = 0;
  samples = 0;
  /** guess stands in until the first sample. */
  constructor(guess) {
    this.latest = this.smoothed = guess;
    this.variance = guess / 2;
  }
  /** Takes one measurement and the delay that the peer says is its own. */
  sample(d, delay) {
    if (this.samples++ === 0) {
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
  /** How long to wait for an acknowledgement after n timeouts before. */
  pto(n) {
    const d = this.smoothed + Math.max(4 * this.variance, minVariance) + maxAckDelay;
    return Math.min(d * 1.5 ** n, Math.max(maxPTO, this.smoothed * 1.25));
  }
  /** How much older than an acknowledged packet a lost one is. */
  lossDelay() {
    return Math.max(Math.max(this.smoothed, this.latest) * 9 / 8, 1);
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
var Congestion = class {
  rate;
  // bytes per second
  round;
  floor;
  ceiling;
  startup = true;
  minRTT = 0;
  // shortest of late, 0 before the first sample
  minAt = 0;
  probing = 0;
  // until then the rate is halved to see the path empty; 0 otherwise
  delivered = 0;
  // bytes acknowledged, all told
  recent = new Float64Array(bandwidthRounds);
  // what arrived in the last rounds, bytes per second
  rounds = 0;
  jitter = 0;
  // what one round trip differs from the next by, smoothed
  last = 0;
  // the last two round trips
  lastButOne = 0;
  stalled = 0;
  // rounds on end of the start in which doubling did not help
  calm = 0;
  // rounds of growth on end
  resume = 0;
  // the rate to go on with when the queue is drained; 0 otherwise
  drainUntil = 0;
  before = 0;
  // the rate before that
  waited = 0;
  // what packets waited then
  chance = 0;
  // what they wait though no queue of ours is there
  slowRate = 0;
  // smoothed over rounds that were limited
  slowDelivery = 0;
  refRate = 0;
  // what they were when delivery last followed
  refDelivery = 0;
  constructor(rate, floor, ceiling) {
    this.floor = floor;
    this.ceiling = ceiling;
    this.rate = this.clamp(rate);
    this.round = this.begin(0, 0);
  }
  clamp(rate) {
    return Math.min(Math.max(rate, this.floor), this.ceiling);
  }
  /**
   * How many bytes may be under way: what fills the path twice, and a few packets more. Where acknowledgements are
   * lost, too, as many as make an answer likely: or a sender whose window is full of packets that have long arrived
   * waits for one timeout after the other.
   */
  window(r, loss) {
    const slack = 3 + 80 * Math.max(0, Math.min(loss, 0.5) - 0.3);
    return this.rate * (2 * (this.minRTT || r.smoothed) + 30) / 1e3 + slack * maxPacket;
  }
  /** The rate that packets leave at now. */
  pace() {
    return this.probing ? Math.max(this.rate / 2, this.floor / 2) : this.rate;
  }
  /** What packets may wait at most: a little, and what a packet of ours takes on the link itself or what is chance. */
  allowance() {
    const packet = maxPacket / this.rate * 1e3;
    const j = this.jitter;
    return shortWait + Math.max(Math.min(packet, maxPacketTime), Math.min(Math.max(4 * j, Math.min(this.chance, 10 * j)), maxChance));
  }
  /** Takes a round trip. */
  sample(t, d) {
    const r = this.round;
    r.shortest = Math.min(r.shortest, d);
    r.steady = Math.max(r.steady, Math.min(d, this.last, this.lastButOne));
    if (this.last) this.jitter += (Math.abs(d - this.last) - this.jitter) / 16;
    this.lastButOne = this.last;
    this.last = d;
    if (this.minRTT === 0 || d <= this.minRTT) {
      this.minRTT = d;
      this.minAt = t;
    }
  }
  /**
   * How much longer than allowed packets wait in this round. A sender that does not use its rate up fills no queue,
   * unless the link is narrower than that.
   */
  excess() {
    const r = this.round;
    const allowed = this.minRTT + this.allowance();
    const e = r.steady - allowed;
    return r.limited ? e : Math.min(e, r.shortest - allowed - this.minRTT / 2 - longWait);
  }
  /** Takes what one ack block told: largest is the newest packet in it, loss the share of packets lost of late. */
  acked(t, largest, next, bytes, loss) {
    this.delivered += bytes;
    const r = this.round;
    if (r.at) {
      const early = r.limited && !this.resume && t - r.at > minRound / 2 && this.excess() > 0;
      if (!early && (largest < r.end || t - r.at < minRound)) return;
      const span = (t - r.at) / 1e3;
      r.limited &&= r.sent > 0.7 * this.pace() * span;
      this.judge(t, (this.delivered - r.delivered) / span, loss);
    }
    this.round = this.begin(t, next);
  }
  begin(t, next) {
    return { end: next, at: t, delivered: this.delivered, sent: 0, limited: false, shortest: Infinity, steady: 0 };
  }
  /** Ends a round in which rate bytes per second arrived. */
  judge(t, rate, loss) {
    const before = this.delivery();
    const limited = this.round.limited;
    if (limited || rate > before) this.recent[this.rounds++ % bandwidthRounds] = rate;
    this.refresh(t);
    const excess = this.excess();
    const steady = excess <= longWait ? Math.max(rate, before) : rate;
    const arrived = Math.min(this.rate, Math.max(this.floor, steady / (1 - Math.min(loss, 0.5))));
    if (this.probing) return;
    if (this.resume) {
      if (this.round.at < this.drainUntil) return;
      this.learn();
      this.rate = this.clamp(this.resume);
      this.resume = 0;
    } else if (this.startup && excess > 0) {
      this.startup = false;
      this.drain(t, arrived, 0.5, 0.85);
    } else if (this.startup) {
      this.start(rate, before, arrived);
    } else if (excess > longWait) {
      this.drain(t, arrived, 0.4, 0.7);
    } else if (excess > 0) {
      this.drain(t, arrived, 0.7, 0.9);
    } else if (limited && this.follows(rate)) {
      this.grow();
    } else if (limited) {
      this.rate = this.clamp(0.7 * this.rate);
      this.calm = 0;
    }
  }
  /**
   * Raises the rate by 2 % and a little more, so that of two senders the slower one gains. After a while in which no
   * queue came of it the steps get larger.
   */
  grow() {
    this.calm++;
    this.chance -= this.chance / 64;
    const step = 0.02 + 0.01 * Math.min(Math.max(this.calm - calmRounds, 0), 6);
    this.rate = this.clamp(this.rate * (1 + step) + Math.min(600, this.rate / 50));
  }
  /** Doubles the rate while that helps. */
  start(rate, before, arrived) {
    if (!this.round.limited) return;
    this.stalled = rate < before * 1.25 ? this.stalled + 1 : 0;
    if (this.stalled >= 3 || this.rate >= this.ceiling) {
      this.startup = false;
      this.rate = this.clamp(arrived);
    } else {
      this.rate = this.clamp(Math.min(2 * this.rate, Math.max(this.rate, 3 * arrived)));
    }
  }
  /** Sends a share of what arrives until the queue should be empty, and then goes on with another. */
  drain(t, arrived, share, resume) {
    this.before = this.rate;
    this.waited = this.round.steady - this.minRTT;
    this.drainUntil = t + this.minRTT + minRound + this.waited / (1 - share);
    this.resume = Math.max(resume * arrived, this.floor);
    this.rate = this.clamp(share * arrived);
    this.calm = 0;
  }
  /**
   * Asks, when the queue should be empty, whether there was any. If packets wait as before though little was sent, the
   * rate goes on as it was, and such a wait is allowed for. It must be one that the jitter explains, and the jitter
   * more than our own packets make: or two senders would take each other's queue for chance.
   */
  learn() {
    const left = this.round.steady - this.minRTT;
    const { waited, jitter } = this;
    if (left < waited / 2 || left > 2 * waited || waited > 10 * jitter || jitter < 2e3 * maxPacket / this.before) {
      this.chance /= 2;
      return;
    }
    this.chance = Math.max(this.chance, left);
    this.resume = this.before;
  }
  /**
   * Whether what arrives still grows with what is sent. A policer that drops what is too much, without a queue,
   * shows itself here only.
   */
  follows(rate) {
    if (!this.slowRate) {
      this.slowRate = this.refRate = this.rate;
      this.slowDelivery = this.refDelivery = rate;
    }
    this.slowRate += (this.rate - this.slowRate) / 8;
    this.slowDelivery += (rate - this.slowDelivery) / 8;
    if (this.slowRate < this.refRate) {
      this.refRate = this.slowRate;
      this.refDelivery = this.slowDelivery;
    }
    if (this.slowRate < 1.25 * this.refRate) return true;
    if (this.slowDelivery < 1.05 * this.refDelivery) {
      this.slowRate *= 0.7;
      this.slowDelivery = Math.min(this.slowDelivery, this.refDelivery);
      return false;
    }
    this.refRate = this.slowRate;
    this.refDelivery = this.slowDelivery;
    return true;
  }
  /**
   * Sees to it that the shortest round trip is not an old one: the path may have changed. For two round trips little
   * is sent, so that a queue of our own does not pass for the path.
   */
  refresh(t) {
    const r = this.round;
    if (this.probing) {
      if (t < this.probing) return;
      this.probing = 0;
      this.minRTT = Math.min(r.shortest, 1e4);
      this.minAt = t;
    } else if (this.minRTT && t - this.minAt > minRTTAge) {
      if (r.limited) {
        this.probing = t + Math.max(2 * this.minRTT, 200);
      } else if (r.steady) {
        this.minRTT = r.shortest;
        this.minAt = t;
      }
    }
  }
  /** The most bytes per second that arrived in one of the last rounds. */
  delivery() {
    return Math.max(...this.recent);
  }
};
var spareShare = 0.85;
var Pacer = class {
  spare = maxPacket;
  // bytes of copies that may ride along
  tokens = maxPacket;
  // bytes; a packet may leave while there are any
  last;
  constructor(t) {
    this.last = t;
  }
  refill(t, rate) {
    const burst = Math.max(maxPacket + 1, rate / 1e3);
    this.tokens = Math.min(burst, this.tokens + rate * (t - this.last) / 1e3);
    this.spare = Math.min(2 * maxPacket, this.spare + spareShare * rate * (t - this.last) / 1e3);
    this.last = t;
  }
  open() {
    return this.tokens > 0;
  }
  spend(n) {
    this.tokens -= n;
    this.spare = Math.max(-2 * maxPacket, this.spare - n);
  }
  /** When the next packet may leave. */
  ready(rate) {
    return this.open() ? this.last : this.last + (1 - this.tokens) / rate * 1e3;
  }
};

// src/loss.ts
var packetThreshold = 3;
var maxPacketThreshold = 256;
var maxProbes = 10;
var lossMemory = 64;
var lossyShare = 0.01;
var Recovery = class {
  lossAt = Infinity;
  // when the next packet is old enough to be lost
  lastSent = 0;
  // of an eliciting packet
  timeouts = 0;
  // probes on end without an answer
  probes = 0;
  // packets that may leave whatever the pacer says
  threshold = packetThreshold;
  // grows when the link turns out to reorder
  share = 0;
  // of packets lost, smoothed
  resolved(lost) {
    this.share += (lost - this.share) / lossMemory;
  }
  /** How often the wait for an answer has been stretched. On a link that loses, two timeouts on end mean little. */
  backoff() {
    return this.share > lossyShare ? Math.max(0, this.timeouts - 2) : this.timeouts;
  }
  /**
   * Takes note of a timeout. Two packets may leave, or as many as it takes that an answer to one is likely at the losses
   * of late, of which each way is taken to have the worse; and one more for each timeout before.
   */
  timeout(t, lossIn) {
    const fails = 1 - (1 - Math.max(this.share, lossIn)) ** 2;
    let n = 2;
    for (let all = fails * fails; n < maxProbes && all > 0.05; all *= fails) n++;
    this.probes = Math.min(n + this.timeouts, maxProbes);
    this.timeouts++;
    this.lastSent = t;
  }
  /** Takes note that a packet that was taken for lost came n behind another. */
  reordered(n) {
    this.threshold = Math.max(this.threshold, Math.min(maxPacketThreshold, n));
  }
};

// src/sent.ts
var packetFlying = 0;
var packetAcked = 1;
var packetLost = 2;
var SentPacket = class {
  at = 0;
  size = 0;
  state = packetFlying;
  eliciting = false;
  closing = false;
  // it carries a close frame
  ackTop = 0;
  // one more than the largest it acknowledged, or 0
  // The pieces it carries. A message's memory is used again, so its generation is remembered too.
  messages = [];
  gens = [];
  indexes = [];
  reset(t) {
    this.at = t;
    this.size = this.ackTop = 0;
    this.state = packetFlying;
    this.eliciting = this.closing = false;
    this.drop();
    return this;
  }
  refer(m, index) {
    this.messages.push(m);
    this.gens.push(m.gen);
    this.indexes.push(index);
  }
  drop() {
    this.messages.length = this.gens.length = this.indexes.length = 0;
  }
};
var maxFlight = 8192;
var Flight = class {
  base = 0;
  next = 0;
  bytes = 0;
  // of eliciting packets under way
  count = 0;
  // of those packets
  ring = Array.from({ length: 64 }, () => new SentPacket());
  at(n) {
    return this.ring[n & this.ring.length - 1];
  }
  full() {
    return this.next - this.base >= maxFlight;
  }
  /** The record for the next packet, empty. */
  open(t) {
    const size = this.ring.length;
    if (this.next - this.base === size) {
      const old = this.ring;
      this.ring = Array.from({ length: 2 * size }, () => new SentPacket());
      for (let n = this.base; n < this.next; n++) this.ring[n & 2 * size - 1] = old[n & size - 1];
    }
    return this.at(this.next).reset(t);
  }
  /** Makes the record that open returned part of the flight. */
  push(p) {
    this.next++;
    if (!p.eliciting) return;
    this.bytes += p.size;
    this.count++;
  }
  /** Takes a packet out of the bytes under way. */
  land(p, state) {
    if (p.eliciting && p.state === packetFlying) {
      this.bytes -= p.size;
      this.count--;
    }
    p.state = state;
  }
  /**
   * Forgets packets at the base of which nothing more is to be learned: those acknowledged, and those sent before old
   * and not under way.
   */
  trim(old) {
    for (; this.base < this.next; this.base++) {
      const p = this.at(this.base);
      if (p.state !== packetAcked && (p.at >= old || p.state === packetFlying && p.eliciting)) return;
    }
  }
};

// src/outbox.ts
var maxCopyable = 512;
var maxLookback = 64;
var Outbox = class {
  constructor(table, allows, receipt) {
    this.receipt = receipt;
    this.senders = table.map((c, i) => new Sender(c, i, allows(c)));
    this.byPriority = [...this.senders].sort((a, b) => a.cfg.priority - b.cfg.priority);
  }
  receipt;
  senders;
  backlog = false;
  // pick saw a piece that did not fit
  byPriority;
  passes = new Float64Array(maxPriority + 1);
  handles = 0;
  free = null;
  // a list by next
  found = null;
  // by next, and which piece of it
  foundIndex = 0;
  /** Queues a copy of b, and returns how receipts call it. */
  send(t, ch, b, o = {}) {
    const s = this.senders[ch];
    const size = b.length;
    const key = o.key ?? 0;
    const deadline = o.deadline ?? Infinity;
    if (!s.allowed) throw new SendError("direction", `only the server sends on ${s.cfg.name}`);
    if (size > s.cfg.maxMessage) throw new SendError("size", `${s.cfg.name} takes ${s.cfg.maxMessage} bytes, not ${size}`);
    if (deadline <= t) throw new SendError("deadline", "the deadline has passed");
    if (!this.room(s, key, size)) {
      s.stats.overBudget++;
      throw new SendError("budget", `the queue of ${s.cfg.name} is full`);
    }
    const old = s.replaced(key);
    const m = old ?? this.message(s);
    if (old) {
      s.stats.replaced++;
      s.cost -= m.cost();
      this.report(m, "replaced");
    }
    m.fill(b);
    m.key = key;
    m.deadline = deadline;
    m.queued = t;
    m.receipt = o.receipt ?? false;
    m.handle = ++this.handles;
    s.cost += m.cost();
    if (!old) {
      s.queue.push(m);
      s.remember(m);
      this.activate(s);
    }
    return m.handle;
  }
  message(s) {
    const m = this.free ?? new Message();
    this.free = m.next;
    m.next = null;
    m.ch = s.id;
    return m;
  }
  /** Makes room for a message of n bytes by the channel's policy, and reports whether there is any. */
  room(s, key, n) {
    const limit = s.cfg.queueLimit - n - messageCost;
    if (s.cost <= limit + (s.replaced(key)?.cost() ?? 0)) return true;
    if (s.reliable) return false;
    while (s.cost > limit) {
      let oldest = s.queue.head;
      if (oldest && oldest.sent > 0 && oldest.next) oldest = oldest.next;
      s.stats.overflowed++;
      this.finish(s, oldest ?? s.waiting.head, "dropped");
    }
    return true;
  }
  /** Forgets a message, whatever became of it, and writes its receipt. */
  finish(s, m, fate) {
    this.report(m, fate);
    s.cost -= m.cost();
    s.lost -= m.lost;
    s.forget(m);
    m.list?.remove(m);
    m.gen++;
    m.next = this.free;
    this.free = m;
  }
  /** Writes a message's receipt, once. */
  report(m, fate) {
    if (!m.receipt) return;
    m.receipt = false;
    this.receipt(m.handle, fate);
  }
  /**
   * Drops queued messages whose deadline has passed, from the head on. A reliable message that was sent in part is
   * finished; others are not.
   */
  expire(s, t) {
    for (let m = s.queue.head; m && t >= m.deadline; m = s.queue.head) {
      if (m.sent > 0 && s.reliable) return;
      s.stats.expired++;
      this.finish(s, m, "expired");
    }
  }
  // ---- which piece goes next: guaranteed shares, then priority, then weight -------------------------------------
  activate(s) {
    if (s.active) return;
    s.active = true;
    s.pass = Math.max(s.pass, this.passes[s.cfg.priority]);
  }
  /** Finds the piece that the channel sends next, and returns its length in a packet, or 0. */
  next(s, t) {
    let m;
    let i = 0;
    if (s.lost > 0) {
      m = s.firstLost();
      while (m.pieces[i].state !== pieceLost) i++;
    } else {
      this.expire(s, t);
      m = s.queue.head;
      s.active = m !== null;
      if (!m || m.sent === 0 && !s.inWindow()) return 0;
      if (m.sent === 0) m.id = s.nextID;
      i = m.sent;
    }
    this.found = m;
    this.foundIndex = i;
    return pieceLen(s.bare, m.id, m.body.length, i);
  }
  /** The channel to send from, among those whose next piece fits. */
  pick(t, space) {
    let best = null;
    let bestShare = false;
    this.backlog = false;
    for (const s of this.senders) {
      if (!s.active) continue;
      const n = this.next(s, t);
      if (n === 0) continue;
      if (n > space) {
        this.backlog = true;
        continue;
      }
      const share = s.cfg.guarantee > 0 && s.share(t, maxPacket) > 0;
      if (!best || s.before(best, share, bestShare)) {
        best = s;
        bestShare = share;
      }
    }
    return best;
  }
  hasWork(t) {
    return this.senders.some((s) => s.active && this.next(s, t) > 0);
  }
  /** Appends pieces up to end. */
  fill(w, end, t, p, number) {
    for (let s = this.pick(t, end - w.n); s; s = this.pick(t, end - w.n)) {
      const size = this.next(s, t);
      const m = this.found;
      const i = this.foundIndex;
      appendPiece(w, s.id, s.bare, m.id, m.body, i);
      s.tokens -= size;
      s.pass += Math.floor(size * maxWeight / s.cfg.weight);
      this.passes[s.cfg.priority] = s.pass;
      if (s.reliable || m.receipt) p.refer(m, i);
      this.pieceSent(s, m, i, number, t);
    }
  }
  /**
   * Repairs a loss before anybody can know of it: small reliable messages that are not acknowledged ride again in the
   * spare bytes of packets that leave anyway. Channel after channel, first those that were sent before overdue and
   * should have been acknowledged by now, oldest first, then others, newest first.
   */
  repeat(w, end, t, overdue, p, number, share) {
    for (const s of this.byPriority) {
      const budget = s.copies(share);
      if (!s.reliable || budget < 1) continue;
      let m = s.waiting.head;
      for (let left = maxLookback; m && left > 0; m = m.next, left--) {
        const q = m.pieces[0];
        if (q.state !== pieceFlying || q.at > overdue || !this.copy(w, end, s, m, p, number)) continue;
        q.at = t;
        q.copies = 0;
      }
      m = s.waiting.tail;
      for (let left = maxLookback; m && left > 0; m = m.prev, left--) {
        if (m.pieces[0].copies < budget) this.copy(w, end, s, m, p, number);
      }
    }
  }
  /** Appends a message again if it is a small one, under way in another packet, and fits. */
  copy(w, end, s, m, p, number) {
    const q = m.pieces[0];
    const size = m.body.length;
    if (m.count > 1 || size > maxCopyable || q.state !== pieceFlying || q.number === number) return false;
    if (w.n + pieceLen(false, m.id, size, 0) > end) return false;
    appendPiece(w, s.id, false, m.id, m.body, 0);
    q.copies++;
    q.number = number;
    p.refer(m, 0);
    s.stats.copies++;
    return true;
  }
  // ---- what becomes of pieces ------------------------------------------------------------------------------------
  /** Calls f for each piece in a packet about which there is something to learn. */
  eachPiece(p, f) {
    for (let k = 0; k < p.messages.length; k++) {
      const m = p.messages[k];
      if (p.gens[k] === m.gen) f(m, p.indexes[k]);
    }
  }
  /** Takes note that a piece left in packet number, for need. */
  pieceSent(s, m, i, number, t) {
    const p = m.pieces[i];
    if (p.state === pieceLost) {
      m.lost--;
      s.lost--;
      s.stats.retransmits++;
    } else if (m.sent++ === 0) {
      s.forget(m);
      s.nextID++;
      s.stats.queueTime += (t - m.queued - s.stats.queueTime) / 16;
      s.stats.messagesOut++;
      s.stats.bytesOut += m.body.length;
    }
    p.state = pieceFlying;
    p.copies = 0;
    p.number = number;
    p.at = t;
    if (m.sent < m.count || m.list !== s.queue) return;
    s.queue.remove(m);
    if (s.reliable || m.receipt) {
      s.waiting.push(m);
      this.settle(s, m);
    } else {
      this.finish(s, m, "lost");
    }
  }
  pieceAcked = (m, i) => {
    const s = this.senders[m.ch];
    const p = m.pieces[i];
    if (p.state === pieceAcked) return;
    if (p.state === pieceLost) {
      m.lost--;
      s.lost--;
    }
    p.state = pieceAcked;
    m.acked++;
    this.settle(s, m);
  };
  /**
   * Finishes what has arrived whole. An ordered message is kept until all before it have arrived: until then the other
   * end may hold it, and its cost must count here as there.
   */
  settle(s, m) {
    if (!m.done() || m.list !== s.waiting) return;
    this.report(m, "delivered");
    if (s.cfg.mode !== "reliable-ordered") {
      this.finish(s, m, "delivered");
      return;
    }
    for (let head = s.waiting.head; head?.done(); head = s.waiting.head) this.finish(s, head, "delivered");
  }
  /** Takes note that packet number, which carried the piece, did not arrive. */
  pieceLost(m, i, number) {
    const s = this.senders[m.ch];
    const p = m.pieces[i];
    if (p.state !== pieceFlying || p.number !== number) return;
    if (!s.reliable) {
      this.finish(s, m, "lost");
      return;
    }
    p.state = pieceLost;
    m.lost++;
    s.lost++;
    this.activate(s);
  }
  /** Takes note that a packet has arrived. */
  acked(p) {
    this.eachPiece(p, this.pieceAcked);
    p.drop();
  }
  /** Takes note that packet number did not arrive. */
  lost(p, number) {
    this.eachPiece(p, (m, i) => this.pieceLost(m, i, number));
  }
  /** Takes note that nothing will be known of a packet: its link is gone. */
  forgotten(p) {
    this.eachPiece(p, (m, i) => this.pieceLost(m, i, m.pieces[i].number));
  }
  /** Makes what packet number carried due to be sent again, though it may still arrive; whether there was anything. */
  again(p, number) {
    let found = false;
    this.eachPiece(p, (m, i) => {
      const q = m.pieces[i];
      if (!this.senders[m.ch].reliable || q.state !== pieceFlying || q.number !== number) return;
      this.pieceLost(m, i, number);
      found = true;
    });
    return found;
  }
  /** Whether every reliable message has arrived. */
  settled() {
    return this.senders.every((s) => !s.reliable || s.cost === 0);
  }
  /** Forgets all messages. */
  abandon() {
    for (const s of this.senders) {
      for (const l of [s.waiting, s.queue]) {
        while (l.head) this.finish(s, l.head, l.head.sent > 0 ? "lost" : "abandoned");
      }
      s.active = false;
    }
  }
};

// src/reassembly.ts
var maxPartials = 32;
var partialAge = 3e3;
var Receiver = class {
  constructor(cfg, id, allowed, to) {
    this.cfg = cfg;
    this.id = id;
    this.allowed = allowed;
    this.to = to;
    this.reliable = isReliable(cfg.mode);
    this.ordered = cfg.mode === "reliable-ordered";
    this.sequenced = cfg.mode === "sequenced";
  }
  cfg;
  id;
  allowed;
  to;
  held = 0;
  // bytes of partials, as queueLimit counts them
  expireAt = Infinity;
  // when an incomplete unreliable message grows too old
  stats = channelStats();
  base = 0;
  // reliable: all before it have come. Sequenced: the newest delivered, plus one
  /** What came of messages from base on; null is all of one that was delivered. Unreliable: oldest first. */
  partials = /* @__PURE__ */ new Map();
  reliable;
  ordered;
  sequenced;
  /** Takes a piece of a message. It returns why it must be sent again, or null. */
  receive(t, f) {
    if (!this.allowed) return "direction";
    if ((f.kind === frameBare || f.kind === frameMessage) && f.kind === frameBare !== (this.cfg.mode === "unreliable")) {
      return "kind";
    }
    const total = f.kind === frameFragment ? f.total : f.payload.length;
    if (total > this.cfg.maxMessage) return "too-large";
    if (this.reliable) return this.receiveReliable(t, f, total);
    if (f.kind === frameBare) this.deliver(f.payload);
    else if (this.sequenced && f.id < this.base) this.stats.stale++;
    else if (f.kind === frameFragment) this.fragment(t, f, total);
    else this.supersede(f.id, f.payload);
    return null;
  }
  deliver(b) {
    this.stats.messagesIn++;
    this.stats.bytesIn += b.length;
    this.to.message(this.id, b);
  }
  /** Delivers a sequenced message, which makes everything before it too old. */
  supersede(id, b) {
    this.deliver(b);
    this.base = id + 1;
    for (const p of this.partials.values()) {
      if (p.id > id) continue;
      this.stats.stale++;
      this.remove(p);
    }
  }
  add(t, id, total, body) {
    const n = pieces(total);
    const p = { id, total, left: n, have: [], body: body ?? new Uint8Array(total), first: t };
    this.partials.set(id, p);
    this.held += total + messageCost;
    return p;
  }
  remove(p) {
    this.partials.delete(p.id);
    this.held -= p.total + messageCost;
  }
  /** Stores a piece and reports whether it is a new one. */
  store(p, f) {
    const index = f.kind === frameFragment ? f.index : 0;
    if (p.have[index]) {
      this.stats.duplicates++;
      return false;
    }
    p.have[index] = true;
    p.left--;
    if (f.kind === frameFragment) p.body.set(f.payload, index * pieceSize);
    return true;
  }
  /** Takes a fragment of a message that nobody will send again. */
  fragment(t, f, total) {
    const p = this.partials.get(f.id) ?? this.admit(t, f.id, total);
    if (p.total !== total) {
      this.to.drop("mismatch");
      return;
    }
    if (!this.store(p, f) || p.left > 0) return;
    this.remove(p);
    if (this.sequenced) this.supersede(p.id, p.body);
    else this.deliver(p.body);
  }
  /** Begins an incomplete message, and gives up older ones to make room. */
  admit(t, id, total) {
    for (const p of this.partials.values()) {
      if (this.partials.size < maxPartials && this.held + total + messageCost <= this.cfg.queueLimit) break;
      this.remove(p);
      this.to.drop("evicted");
    }
    this.expireAt = Math.min(this.expireAt, t + partialAge);
    return this.add(t, id, total, null);
  }
  /** Gives up incomplete unreliable messages that are too old. */
  age(t) {
    if (t < this.expireAt) return;
    this.expireAt = Infinity;
    for (const p of this.partials.values()) {
      if (p.first + partialAge > t) {
        this.expireAt = p.first + partialAge;
        return;
      }
      this.remove(p);
      this.to.drop("aged");
    }
  }
  /**
   * Takes a whole message or a fragment of one. There is always room for it if the peer has our table; else its
   * packet must not be acknowledged.
   */
  receiveReliable(t, f, total) {
    const whole = f.kind === frameMessage;
    if (f.id >= this.base + sendWindow) return "window";
    const known = this.partials.get(f.id);
    if (f.id < this.base || known === null || known && known.left === 0) {
      this.stats.duplicates++;
      return null;
    }
    if (known && (whole || known.total !== total)) return "mismatch";
    const inTurn = !this.ordered || f.id === this.base;
    if (whole && inTurn) {
      this.deliver(f.payload);
      this.finish(f.id);
      return null;
    }
    if (!known && this.held + total + messageCost > this.cfg.queueLimit) return "budget";
    const p = known ?? this.add(t, f.id, total, whole ? f.payload : null);
    if (!this.store(p, f) || p.left > 0 || !inTurn) return null;
    this.remove(p);
    this.deliver(p.body);
    this.finish(p.id);
    return null;
  }
  /** Takes note that a message was delivered, and delivers what waited for that. */
  finish(id) {
    if (id !== this.base) {
      this.partials.set(id, null);
      return;
    }
    this.base++;
    while (this.partials.size > 0) {
      const p = this.partials.get(this.base);
      if (p === void 0 || p && p.left > 0) return;
      if (p) {
        this.remove(p);
        this.deliver(p.body);
      } else {
        this.partials.delete(this.base);
      }
      this.base++;
    }
  }
};

// src/mux.ts
var Mux = class {
  constructor(t, config, events) {
    this.config = config;
    this.events = events;
    const mine = config.server ? "to-client" : "to-server";
    const to = { message: events.message.bind(events), drop: (why) => this.drop(why) };
    const allows = (c, send) => c.direction === "both" || c.direction === mine === send;
    this.outbox = new Outbox(config.table, (c) => allows(c, true), events.receipt.bind(events));
    this.receivers = config.table.map((c, i) => new Receiver(c, i, allows(c, false), to));
    this.link(t, config.rtt);
  }
  config;
  events;
  outbox;
  receivers;
  drops = {};
  counts = {
    packetsOut: 0,
    packetsIn: 0,
    bytesOut: 0,
    bytesIn: 0,
    acksOut: 0,
    packetsLost: 0,
    spurious: 0,
    timeouts: 0,
    links: 0
  };
  // The link, all of it new after relink.
  received;
  flight;
  rtt;
  loss;
  cc;
  pacer;
  largestAcked = 0;
  sampled = -1;
  // when the newest packet that gave a round trip was sent
  askedAt = 0;
  // when a lone ack last asked for an ack of its own
  ping = false;
  // one is due
  heard = 0;
  // when the last packet came
  work = false;
  // there was something to send that could not leave
  closing = new Closing();
  in = new Packet();
  ackOut = new AckBlock();
  out = new Writer(new Uint8Array(0));
  link(t, rtt) {
    const c = this.config;
    this.received = new Received();
    this.flight = new Flight();
    this.rtt = new RTT(rtt);
    this.loss = new Recovery();
    this.cc = new Congestion(c.rate, c.floor, c.ceiling);
    this.pacer = new Pacer(t);
    this.largestAcked = 0;
    this.sampled = -1;
    this.heard = t;
    this.ping = false;
  }
  /**
   * Starts over on a new link, to the same peer, which does the same. All that was not acknowledged is sent again, and
   * what had arrived is not delivered again; unreliable messages under way on the old link are lost.
   */
  relink(t, rtt) {
    const f = this.flight;
    this.counts.links++;
    for (let n = f.base; n < f.next; n++) this.outbox.forgotten(f.at(n));
    this.link(t, rtt);
    this.closing.relink(t);
  }
  /** Queues a copy of b, and returns how receipts call it. Take it with append. */
  send(t, ch, b, o = {}) {
    if (this.closing.any()) throw new SendError("closed", "the session has ended");
    return this.outbox.send(t, ch, b, o);
  }
  // ---- packets out -----------------------------------------------------------------------------------------------
  /** Writes the next packet into b and returns its length; 0 means that there is nothing to say now. */
  append(t, b, limit) {
    const f = this.flight;
    for (; f.full(); f.base++) {
      const old = f.at(f.base);
      if (old.state === packetFlying && old.eliciting) this.losePacket(old, f.base);
    }
    const p = f.open(t);
    const w = this.out;
    w.b = b;
    w.n = 0;
    appendHeader(w, f.next);
    const content = this.mayContent(t);
    if (this.received.eliciting > 0) this.appendAck(w, t, p, limit);
    const body = w.n;
    if (this.closing.any()) {
      p.closing = this.closing.append(w, t);
    } else if (content) {
      this.appendContent(w, limit, t, p);
      if (w.n === body) this.loss.probes = 0;
    }
    p.eliciting = w.n > body;
    if (!p.eliciting) {
      if (t < this.received.due || p.ackTop === 0) return 0;
      this.askForAck(w, t, p);
    }
    this.leave(p, w.n, t);
    return w.n;
  }
  /** Whether congestion control lets a packet leave. */
  mayContent(t) {
    this.work = false;
    this.pacer.refill(t, this.cc.pace());
    if (this.loss.probes > 0) return true;
    const window2 = this.flight.bytes < this.cc.window(this.rtt, this.loss.share);
    if (window2 && this.pacer.open()) return true;
    if (this.ping || this.outbox.hasWork(t)) {
      this.cc.round.limited = true;
      this.work = window2;
    }
    return false;
  }
  /** Appends what the channels have, then what may ride along. */
  appendContent(w, end, t, p) {
    const body = w.n;
    this.outbox.fill(w, end, t, p, this.flight.next);
    if (this.ping && w.n === body) w.byte(controlPing);
    this.ping = false;
    const share = this.loss.share;
    if (w.n === body || this.outbox.backlog || share <= lossyShare) return;
    const overdue = t - this.rtt.lossDelay() - maxAckDelay;
    this.outbox.repeat(w, Math.min(end, w.n + Math.max(0, this.pacer.spare)), t, overdue, p, this.flight.next, share);
  }
  /** Appends an ack block, leaving room for the largest piece behind it. */
  appendAck(w, t, p, end) {
    this.received.block(t, this.ackOut);
    w.b[0] |= this.ackOut.append(w, end - maxFragmentHeader - pieceSize);
    p.ackTop = this.received.next;
  }
  /**
   * Makes a packet of nothing but an ack block worth an answer, once a round trip, when the block has grown: what the
   * peer knows need not be repeated.
   */
  askForAck(w, t, p) {
    this.counts.acksOut++;
    if (this.ackOut.ranges < 8 || t < this.askedAt + this.rtt.smoothed || this.closing.any()) return;
    this.askedAt = t;
    p.eliciting = true;
    w.byte(controlPing);
  }
  /** Takes note of a packet of n bytes that goes out. */
  leave(p, n, t) {
    p.size = n;
    if (p.ackTop > 0) this.received.said();
    if (p.eliciting) {
      this.pacer.spend(n);
      this.cc.round.sent += n;
      this.loss.lastSent = t;
      this.loss.probes = Math.max(0, this.loss.probes - 1);
    }
    this.flight.push(p);
    this.counts.packetsOut++;
    this.counts.bytesOut += n;
  }
  // ---- packets in ------------------------------------------------------------------------------------------------
  /** Takes a datagram. One that is not well-formed is counted and has no effect. */
  receive(t, b) {
    const p = this.in;
    let eliciting = false;
    let ok = p.parse(b);
    while (ok && p.more()) {
      ok = p.next();
      eliciting ||= p.eliciting();
    }
    if (!ok) return this.drop("malformed");
    const number = this.received.expand(p);
    if (!this.received.fresh(number)) return this.drop("duplicate");
    if (p.hasAck && !this.receiveAck(t, p.ack)) return this.drop("ack");
    this.counts.packetsIn++;
    this.counts.bytesIn += b.length;
    this.heard = t;
    for (p.rewind(); p.more(); ) {
      p.next();
      ok = this.receiveFrame(t, p) && ok;
    }
    if (!ok) return this.drop("refused");
    this.received.mark(t, number, eliciting);
    if (this.closing.byPeer && this.received.eliciting > 0) this.received.due = t;
  }
  /** Reports whether the frame's packet may be acknowledged. */
  receiveFrame(t, f) {
    if (f.kind === frameControl) {
      if (f.channel === controlClose) this.receiveClose(f);
      else if (f.channel >= controlExtension) this.drop("unknown-frame");
      return true;
    }
    let why = "closed";
    const done = this.closing.any();
    if (!done) {
      const r = this.receivers[f.channel];
      why = r ? r.receive(t, f) : "unknown-channel";
    }
    if (why) this.drop(why);
    return done || !why;
  }
  receiveClose(f) {
    if (this.closing.byPeer) return;
    this.closing.byPeer = true;
    this.outbox.abandon();
    this.events.closed(f.code, text(f.payload));
  }
  /** Applies an ack block. It reports whether the block is possible. */
  receiveAck(t, a) {
    const f = this.flight;
    const last = f.next - 1;
    const largest = last - ((last & 65535) - a.largest & 65535);
    if (last < 0 || a.span() > largest) return false;
    let bytes = this.ackRange(largest - a.first, largest);
    for (let i = 0, end = largest - a.first; i < a.ranges; i++) {
      end -= a.gaps[i] + 2;
      bytes += this.ackRange(end - a.lengths[i], end);
      end -= a.lengths[i];
    }
    if (bytes === 0) return true;
    const p = f.at(largest);
    if (largest >= f.base && p.eliciting && p.at > this.sampled) {
      this.sampled = p.at;
      const delay = Math.min(a.delay * delayUnit, 2 * maxAckDelay);
      this.rtt.sample(t - p.at, delay);
      this.cc.sample(t, Math.max(t - p.at - delay, 1e-3));
    }
    this.loss.timeouts = 0;
    this.detect(t, largest);
    this.cc.acked(t, largest, f.next, bytes, this.loss.share);
    f.trim(t - 3 * this.rtt.pto(0));
    return true;
  }
  /** Takes the packets from low to high as arrived, and returns the bytes of those that wanted to be acknowledged. */
  ackRange(low, high) {
    const f = this.flight;
    let bytes = 0;
    for (let n = Math.max(low, f.base); n <= high && n < f.next; n++) {
      const p = f.at(n);
      if (p.state === packetAcked) continue;
      if (p.state === packetLost) {
        this.counts.spurious++;
        this.loss.reordered(high - n + 1);
      }
      if (p.state === packetLost || p.eliciting) this.loss.resolved(0);
      if (p.eliciting) bytes += p.size;
      f.land(p, packetAcked);
      if (p.ackTop > 0) this.received.confirmed(p.ackTop - 1);
      if (p.closing) this.closing.acked();
      this.outbox.acked(p);
    }
    return bytes;
  }
  /** Takes for lost what is too far behind largest, and sets the time to look again. */
  detect(t, largest) {
    const f = this.flight;
    const delay = this.rtt.lossDelay();
    this.loss.lossAt = Infinity;
    this.largestAcked = Math.max(this.largestAcked, largest);
    for (let n = f.base; n < this.largestAcked && n < f.next; n++) {
      const p = f.at(n);
      if (p.state !== packetFlying || !p.eliciting) continue;
      if (this.largestAcked - n >= this.loss.threshold || p.at + delay <= t) this.losePacket(p, n);
      else this.loss.lossAt = Math.min(this.loss.lossAt, p.at + delay);
    }
  }
  losePacket(p, number) {
    this.counts.packetsLost++;
    this.loss.resolved(1);
    this.flight.land(p, packetLost);
    this.outbox.lost(p, number);
  }
  // ---- time ------------------------------------------------------------------------------------------------------
  /** When advance must be called; Infinity is never. */
  deadline() {
    const due = this.received.due;
    if (this.closing.any()) return this.closing.byPeer ? due : Math.min(this.closing.next, due);
    let t = Math.min(due, this.loss.lossAt, this.ptoAt());
    for (const r of this.receivers) t = Math.min(t, r.expireAt);
    if (!this.ping && this.flight.count === 0) t = Math.min(t, this.heard + this.config.keepAlive);
    if (this.work) t = Math.min(t, this.pacer.ready(this.cc.pace()));
    return t;
  }
  /** Tells the Mux that time has passed. */
  advance(t) {
    if (this.closing.any()) return;
    for (const r of this.receivers) r.age(t);
    if (t >= this.loss.lossAt) this.detect(t, this.largestAcked);
    if (t >= this.ptoAt()) this.probe(t);
    if (this.flight.count === 0 && t >= this.heard + this.config.keepAlive) this.ping = true;
  }
  /** When to probe: nothing was heard for too long. */
  ptoAt() {
    return this.flight.count === 0 ? Infinity : this.loss.lastSent + this.rtt.pto(this.loss.backoff());
  }
  /** Sends the oldest and the newest unacknowledged content again, or a ping if there is none that would be missed. */
  probe(t) {
    const f = this.flight;
    this.loss.timeout(t, this.received.loss);
    this.counts.timeouts++;
    let n = f.base;
    while (n < f.next && !this.again(n)) n++;
    if (n === f.next) {
      this.ping = true;
      return;
    }
    for (n = f.next - 1; n >= f.base && !this.again(n); ) n--;
  }
  again(n) {
    const p = this.flight.at(n);
    return p.state === packetFlying && this.outbox.again(p, n);
  }
  // ---- the end ---------------------------------------------------------------------------------------------------
  /** Ends the link. What is queued is not sent any more. append then has the close frame, a few times. */
  close(t, code, reason) {
    if (this.closing.any()) return;
    this.closing.begin(t, code, reason);
    this.outbox.abandon();
  }
  /** Whether the peer has closed, or knows that we have, or has been told often enough. */
  closed() {
    return this.closing.byPeer || this.closing.begun && this.closing.left === 0;
  }
  /** Whether anything came is seen in whether this grew. */
  get packetsIn() {
    return this.counts.packetsIn;
  }
  // ---- counters --------------------------------------------------------------------------------------------------
  stats() {
    const r = this.rtt;
    const out = this.outbox.senders;
    const sum = (f) => out.reduce((n, _, i) => n + f(i), 0);
    return {
      ...this.counts,
      retransmits: sum((i) => out[i].stats.retransmits),
      copies: sum((i) => out[i].stats.copies),
      rtt: r.smoothed,
      rttVar: r.variance,
      minRTT: r.minimum,
      lossOut: this.loss.share,
      lossIn: this.received.loss,
      rate: this.cc.rate,
      deliveryRate: this.cc.delivery(),
      inFlight: this.flight.bytes,
      queued: sum((i) => out[i].cost),
      held: sum((i) => this.receivers[i].held),
      drops: { ...this.drops }
    };
  }
  channelStats(ch) {
    const { messagesIn, bytesIn, stale, duplicates } = this.receivers[ch].stats;
    return { ...this.outbox.senders[ch].stats, messagesIn, bytesIn, stale, duplicates };
  }
  drop(why) {
    this.drops[why] = (this.drops[why] ?? 0) + 1;
  }
};

// src/session.ts
var silence = 3e3;
var keepAlive = 2e3;
var openTimeout = 5e3;
var drainTime = 2e3;
var maxEarly = 256 << 10;
var maxServing = 64;
var maxWaiting = 1024;
var codeNormal = 0;
var codeShutdown = 2;
var codeProtocol = 3;
var codeTimeout = 6;
var codeEarly = 19;
var codeRequests = 20;
var Session = class {
  constructor(t, config, message, events) {
    this.events = events;
    this.mux = new Mux(t, { ...config, server: false, keepAlive }, {
      message: (channel, b) => this.inbox.push({ channel, b }),
      receipt: (handle, fate) => {
        this.receipts.get(handle)?.(fate);
        this.receipts.delete(handle);
      },
      closed: (code, reason) => this.closedBy = { code, reason }
    });
    this.mux.send(t, 0, hello(message));
  }
  events;
  mux;
  state = "fresh";
  interrupted = false;
  id = 0n;
  token = "";
  // to resume with, as base64url
  links = 0;
  // how often it changed
  since = 0;
  // of the interruption or, before opening, of the link
  grace = 3e4;
  inbox = [];
  // what the Mux has delivered
  closedBy = null;
  // the peer, just now
  drainBy = Infinity;
  // when the close frame is sent at the latest
  lastID = 0;
  calls = /* @__PURE__ */ new Map();
  receipts = /* @__PURE__ */ new Map();
  serving = /* @__PURE__ */ new Set();
  ending = { code: 0, reason: "" };
  // ---- the link --------------------------------------------------------------------------------------------------
  /** Begins a link; what the last one still brings must not come here any more. */
  link(t, rtt) {
    this.mux.relink(t, rtt);
    if (this.state === "fresh") {
      this.state = "linked";
      this.since = t;
    } else if (this.state === "open") {
      this.mux.send(t, 0, numbered(typeHere, ++this.links));
    }
  }
  /** Takes note that the link is gone. */
  unlink(t) {
    if (this.state === "open") this.interrupt(t);
  }
  interrupt(t) {
    if (this.interrupted) return;
    this.interrupted = true;
    this.since = t;
    this.events.interrupted();
  }
  receive(t, b) {
    const heard = this.mux.packetsIn;
    this.mux.receive(t, b);
    if (this.interrupted && this.mux.packetsIn > heard && this.state === "open") {
      this.interrupted = false;
      this.events.resumed();
    }
    this.take(t);
  }
  append(t, b, limit) {
    this.drain(t);
    return this.mux.append(t, b, limit);
  }
  deadline() {
    const t = Math.min(this.mux.deadline(), this.drainBy);
    return this.state === "linked" || this.state === "open" ? Math.min(t, this.patience()) : t;
  }
  /** When silence has lasted too long. */
  patience() {
    if (this.state === "linked") return this.since + openTimeout;
    return this.interrupted ? this.since + this.grace : this.mux.heard + silence;
  }
  advance(t) {
    this.mux.advance(t);
    if (this.state !== "linked" && this.state !== "open") return;
    if (t < this.patience()) return;
    if (this.state === "linked") this.close(t, codeProtocol, "no WELCOME came in time", true);
    else if (this.interrupted) this.close(t, codeTimeout, "nothing was heard for too long", true);
    else this.interrupt(t);
  }
  // ---- what comes ------------------------------------------------------------------------------------------------
  /** Hands on what the Mux has delivered. Before WELCOME all but channel 0 waits, in order. */
  take(t) {
    const inbox = this.inbox;
    let early = 0;
    if (inbox.length > 0) this.inbox = [];
    for (const m of inbox) {
      if (this.state === "closed") break;
      if (m.channel === 0) {
        this.control(t, m.b);
      } else if (this.state === "open") {
        this.events.message(m.channel, m.b);
      } else {
        this.inbox.push(m);
        early += m.b.length + 32;
      }
    }
    if (early > 0 && this.state === "open") this.take(t);
    else if (early > maxEarly) this.close(t, codeEarly, "too much sent before WELCOME", true);
    const by = this.closedBy;
    this.closedBy = null;
    if (by) this.finish(by.code, by.reason, true);
  }
  control(t, b) {
    const c = parseControl(b);
    if (!c) return this.close(t, codeProtocol, "a control message is malformed", true);
    if (c.type === 2) return this.welcome(c);
    if (c.type >= 128) return;
    if (this.state !== "open") return this.close(t, codeProtocol, "the first control message is not WELCOME", true);
    if (c.type === typeRequest) this.request(t, c);
    else if (c.type === typeReply) this.answered(c.id, (call) => call.resolve(c.payload));
    else if (c.type === typeAck) this.answered(c.id, (call) => call.resolve(void 0));
    else if (c.type === typeReject) this.answered(c.id, (call) => call.reject(new RequestError("rejected", c.text)));
    else this.close(t, codeProtocol, "a server sent what only clients send", true);
  }
  welcome(c) {
    this.id = c.session;
    this.grace = c.grace;
    this.token = btoa(String.fromCharCode(...c.token)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
    if (this.state === "open") return;
    this.state = "open";
    this.events.opened();
  }
  // ---- what goes -------------------------------------------------------------------------------------------------
  send(t, channel, b, o) {
    if (this.state === "closed") throw new SendError("closed", "the session has ended");
    if (this.interrupted && !this.mux.outbox.senders[channel].reliable) {
      throw new SendError("interrupted", "the link is silent: only reliable messages are queued");
    }
    return this.mux.send(t, channel, b, o);
  }
  /** Calls f once with what became of a message that was sent with receipt. */
  onReceipt(handle, f) {
    this.receipts.set(handle, f);
  }
  /** Sends a request. undefined is an answer without bytes. */
  call(t, name, payload) {
    const n = new TextEncoder().encode(name);
    if (n.length < 1 || n.length > maxName2) throw new SendError("size", `the name of a request has 1 to ${maxName2} bytes`);
    if (payload.length > maxPayload) throw new SendError("size", `a request has at most ${maxPayload} bytes`);
    if (this.calls.size >= maxWaiting) throw new SendError("budget", `${maxWaiting} requests wait for an answer`);
    do
      this.lastID = this.lastID + 1 >>> 0;
    while (this.lastID === 0 || this.calls.has(this.lastID));
    const id = this.lastID;
    const body = numbered(typeRequest, id, Uint8Array.of(n.length), n, payload);
    const handle = this.send(t, 0, body, { receipt: true });
    const answer = new Promise((resolve, reject) => {
      const call = { resolve, reject, sent: true };
      this.calls.set(id, call);
      this.onReceipt(handle, (fate) => call.sent = fate !== "abandoned");
    });
    return { id, answer };
  }
  /** Makes the answer to a request of no interest. */
  forget(id) {
    this.calls.delete(id);
  }
  answered(id, f) {
    const call = this.calls.get(id);
    if (!call) return;
    this.calls.delete(id);
    f(call);
  }
  request(t, c) {
    if (this.serving.has(c.id)) return this.close(t, codeProtocol, "a request has the id of an unanswered one", true);
    this.serving.add(c.id);
    if (this.serving.size > maxServing) this.reject(t, c.id, "too many requests in flight");
    else this.events.request(c.id, c.name, c.payload);
  }
  /** Answers a request of the server, with bytes or without. */
  answer(t, id, payload) {
    if (!this.serving.has(id)) return;
    if (payload && payload.length > maxPayload) return this.reject(t, id, "the reply is too large");
    this.mux.send(t, 0, payload ? numbered(typeReply, id, payload) : numbered(typeAck, id));
    this.serving.delete(id);
  }
  /** Refuses a request of the server. */
  reject(t, id, why) {
    if (!this.serving.delete(id)) return;
    try {
      this.mux.send(t, 0, numbered(typeReject, id, cut(why, maxText)));
    } catch {
      this.close(t, codeRequests, "too many requests, and their answers are not taken", true);
    }
  }
  // ---- the end ---------------------------------------------------------------------------------------------------
  /** Ends the session. What was sent reliably is delivered first, for 2 s at most; atOnce says not to wait. */
  close(t, code, reason, atOnce) {
    if (this.state === "closed") return;
    this.ending = { code, reason };
    this.drainBy = atOnce || this.interrupted || this.state !== "open" ? t : t + drainTime;
    if (this.drainBy <= t) this.drain(t);
    this.finish(code, reason, false);
  }
  /** Sends the close frame when all has arrived, or it is time. */
  drain(t) {
    if (this.drainBy === Infinity || t < this.drainBy && !this.mux.outbox.settled()) return;
    this.drainBy = Infinity;
    this.mux.close(t, this.ending.code, this.ending.reason);
  }
  finish(code, reason, remote) {
    if (this.state === "closed") {
      this.drainBy = Infinity;
      return;
    }
    this.state = "closed";
    this.interrupted = false;
    this.inbox = [];
    for (const { sent, reject } of this.calls.values()) {
      if (sent) reject(new RequestError("response-lost", "the session has ended; the server may have acted on the request"));
      else reject(new RequestError("send-failed", "the session has ended before the request was sent"));
    }
    this.calls.clear();
    this.serving.clear();
    this.events.closed(code, reason, remote);
  }
  /** Whether the session is closed and has nothing more to say: its link may go. */
  over() {
    return this.state === "closed" && this.drainBy === Infinity && this.mux.closed();
  }
};

// src/signaling.ts
var version2 = 1;
function signalingURL(url, table, app) {
  const u = absolute(url);
  u.searchParams.set("v", String(version2));
  u.searchParams.set("channels", hash(tableText(table)));
  u.searchParams.set("kind", "browser");
  if (app) u.searchParams.set("app", app);
  return u;
}
var absolute = (url) => new URL(url, globalThis.location?.href);
async function exchange(url, offer, credentials, init, table, signal) {
  const headers = new Headers(init.headers);
  if (credentials) headers.set("Authorization", `${credentials.scheme} ${credentials.token}`);
  let response;
  let body;
  try {
    response = await fetch(url, { ...init, method: "POST", body: offer, headers, signal });
    body = await json(response);
  } catch (e) {
    signal.throwIfAborted();
    throw new ConnectError("network", `no answer from ${url.origin}`, { cause: e, retryAfter: 0 });
  }
  if (!response.ok) throw refusal(response, body, table);
  return body.answer;
}
async function json(r) {
  const text2 = await r.text();
  try {
    const body = JSON.parse(text2);
    if (typeof body === "object" && body) return body;
  } catch {
  }
  return {};
}
var statusCodes = { 401: "token", 403: "forbidden", 410: "resume", 429: "rate", 503: "full" };
function refusal(r, body, table) {
  const code = typeof body.code === "string" ? body.code : statusCodes[r.status] ?? "request";
  let message = typeof body.error === "string" ? body.error : `the server answered ${r.status}`;
  if (code === "channels" && typeof body.channels === "string") {
    message += `: ${firstDifference(tableText(table), body.channels)}`;
  }
  const more = {
    status: r.status,
    details: body
  };
  if (r.status === 429 || r.status >= 500) more.retryAfter = 1e3 * (Number(r.headers.get("Retry-After")) || 0);
  return new ConnectError(code, message, more);
}

// src/conn.ts
var ConnCloseEvent = class extends Event {
  constructor(why) {
    super("close");
    this.why = why;
  }
  why;
};
var firstWait = 500;
var longestWait = 1e4;
var patience = 3e3;
var now = () => performance.now();
var Conn = class extends EventTarget {
  /** Use connect, unless something is to be sent before the session is open: then create one, and await opened. */
  constructor(url, options) {
    super();
    this.options = options;
    const table = this.table = fullTable(options.channels);
    table.forEach((c, i) => i > 0 && this.ids.set(c.name, i));
    this.listeners = table.map(() => /* @__PURE__ */ new Set());
    this.unheard = table.map((c) => new Inbox(c.queueLimit, !isReliable(c.mode)));
    this.url = signalingURL(url, table, options.app ?? "");
    this.session = new Session(
      now(),
      { table, rtt: 100, rate: 64 << 10, floor: 8 << 10, ceiling: options.ceiling ?? 256 << 10 },
      options.hello ?? new Uint8Array(0),
      {
        opened: () => this.onOpen(),
        message: (channel, b) => this.onMessage(channel, b),
        request: (id, name, b) => void this.serve(id, name, b),
        interrupted: () => this.onInterrupted(),
        resumed: () => this.onResumed(),
        closed: (code, reason, remote) => this.onClosed(code, reason, remote)
      }
    );
    this.opened = new Promise((resolve, reject) => {
      this.open = resolve;
      this.fail = reject;
    });
    this.opened.catch(() => {
    });
    this.closed = new Promise((resolve) => this.end = resolve);
    globalThis.addEventListener?.("pagehide", this.onPageHide, { signal: this.ended.signal });
    options.signal?.addEventListener("abort", () => this.onAbort(), { signal: this.ended.signal });
    void this.begin();
  }
  options;
  /** Resolves when the session is open, or rejects with a ConnectError. */
  opened;
  /** Resolves when the session has ended. */
  closed;
  /** How long the phases of connecting took. */
  times = { offer: 0, http: 0, ice: 0, transport: 0, hello: 0, total: 0 };
  table;
  ids = /* @__PURE__ */ new Map();
  session;
  url;
  started = now();
  linked = 0;
  // when the first link was open
  listeners;
  unheard;
  handlers = /* @__PURE__ */ new Map();
  ended = new AbortController();
  // when the session has
  packet = new Uint8Array(maxPacket);
  link = null;
  trying = null;
  // a new link beside it
  failure = null;
  flushing = false;
  // soon
  timer;
  timerAt = Infinity;
  open;
  fail;
  end;
  // ---- for programs ----------------------------------------------------------------------------------------------
  /** The server's name for the session; 0n until it is open. */
  get id() {
    return this.session.id;
  }
  get state() {
    const s = this.session;
    if (s.state === "closed") return "closed";
    if (s.state !== "open") return "connecting";
    return s.interrupted ? "interrupted" : "open";
  }
  send(channel, b, o) {
    const t = now();
    const options = o?.deadline === void 0 ? o : { ...o, deadline: t + o.deadline };
    const handle = this.session.send(t, this.idOf(channel), b, options);
    this.flushSoon();
    if (!o?.receipt) return;
    return new Promise((resolve) => this.session.onReceipt(handle, resolve));
  }
  /**
   * Calls f with each message of a channel, and first with those that came when nobody listened yet. The function it
   * returns ends that.
   */
  on(channel, f) {
    const id = this.idOf(channel);
    const waiting = this.unheard[id];
    this.unheard[id] = null;
    this.listeners[id].add(f);
    for (let b = waiting?.shift(); b; b = waiting?.shift()) this.run(f, b);
    return () => this.listeners[id].delete(f);
  }
  /**
   * The messages of a channel one after the other, until the session ends. Who takes them too slowly loses the oldest
   * on unreliable channels, and on others gets an error.
   */
  async *messages(channel) {
    const c = this.table[this.idOf(channel)];
    const inbox = new Inbox(c.queueLimit, !isReliable(c.mode));
    let wake = () => {
    };
    const off = this.on(channel, (b) => {
      inbox.push(b);
      wake();
    });
    const end = () => wake();
    this.ended.signal.addEventListener("abort", end);
    try {
      for (; ; ) {
        const b = inbox.shift();
        if (b) yield b;
        else if (inbox.lost && isReliable(c.mode)) throw new GodwitError("overflow", `messages of ${c.name} were not taken`);
        else if (this.ended.signal.aborted) return;
        else await new Promise((resolve) => wake = resolve);
      }
    } finally {
      off();
      this.ended.signal.removeEventListener("abort", end);
    }
  }
  /** Asks the server. Resolves with its reply, or with undefined if it has none; rejects with a RequestError. */
  async request(name, b = new Uint8Array(0), o = {}) {
    o.signal?.throwIfAborted();
    const { id, answer } = this.session.call(now(), name, b);
    this.flushSoon();
    if (!o.signal) return answer;
    const { signal } = o;
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.session.forget(id);
        reject(signal.reason);
      };
      signal.addEventListener("abort", abort, { once: true });
      answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    });
  }
  /** Answers requests of the server with what f returns; what it throws refuses them. */
  handle(name, f) {
    this.handlers.set(name, f);
  }
  /** Ends the session. What was sent reliably is delivered first, for 2 s at most. */
  close(code = codeNormal, reason = "") {
    this.session.close(now(), code, reason, false);
    this.flushSoon();
    return this.closed;
  }
  stats() {
    return this.session.mux.stats();
  }
  channelStats(channel) {
    return this.session.mux.channelStats(this.idOf(channel));
  }
  // ---- what the session tells ------------------------------------------------------------------------------------
  idOf(channel) {
    const id = this.ids.get(channel);
    if (id === void 0) throw new SendError("channel", `no channel ${channel} in the table`);
    return id;
  }
  /** Calls a function of the program. */
  run(f, v) {
    try {
      f(v);
    } catch (e) {
      queueMicrotask(() => {
        throw e;
      });
    }
  }
  onMessage(channel, b) {
    const waiting = this.unheard[channel];
    if (waiting) waiting.push(b);
    else for (const f of this.listeners[channel]) this.run(f, b);
  }
  async serve(id, name, b) {
    const f = this.handlers.get(name);
    try {
      if (!f) throw new Error(`no handler for requests "${name}"`);
      const answer = await f(b);
      this.session.answer(now(), id, answer ?? void 0);
    } catch (e) {
      this.session.reject(now(), id, e instanceof Error ? e.message : String(e));
    }
    this.flushSoon();
  }
  onOpen() {
    const t = this.times;
    t.total = now() - this.started;
    t.hello = now() - this.linked;
    this.open();
  }
  onInterrupted() {
    this.dispatchEvent(new Event("interrupted"));
    void this.reconnect();
  }
  onResumed() {
    this.trying?.abort();
    this.dispatchEvent(new Event("resumed"));
  }
  onClosed(code, reason, remote) {
    const why = { code, reason, remote, ...this.failure && { error: this.failure } };
    this.trying?.abort();
    this.fail(this.failure ?? new ConnectError("closed", reason || `closed with code ${code}`));
    this.ended.abort();
    this.dispatchEvent(new ConnCloseEvent(why));
    this.end(why);
    this.flushSoon();
  }
  onAbort() {
    this.fail(this.options.signal.reason);
    void this.close();
  }
  onPageHide = () => {
    this.session.close(now(), codeNormal, "", true);
    this.flush();
  };
  // ---- links -----------------------------------------------------------------------------------------------------
  async begin() {
    const signal = AbortSignal.any([this.ended.signal, this.options.signal ?? this.ended.signal]);
    try {
      const link = await this.authorized(signal);
      Object.assign(this.times, link.times);
      this.linked = now();
      this.move(link);
    } catch (e) {
      this.giveUp(e);
    }
  }
  /**
   * Opens the first link. A token that is refused is fetched once more, and a handshake that got lost is tried once
   * more, but not with a token that may be good for one use.
   */
  async authorized(signal) {
    const { token } = this.options;
    const bearer = async () => {
      const t = typeof token === "function" ? await token() : token;
      return t === void 0 ? null : { scheme: "Bearer", token: t };
    };
    try {
      return await this.connect(await bearer(), signal);
    } catch (e) {
      const again = e instanceof ConnectError && typeof token !== "string" && (e.code === "token" ? token !== void 0 : e.code === "link" && e.retryAfter !== void 0);
      if (!again) throw e;
      return await this.connect(await bearer(), signal);
    }
  }
  connect(credentials, signal) {
    return openLink({
      label: "godwit",
      init: { negotiated: true, id: 0 },
      exchange: (offer, s) => exchange(this.url, offer, credentials, this.options.request ?? {}, this.table, s),
      timeout: this.options.timeout ?? 15e3,
      signal
    });
  }
  giveUp(e) {
    if (this.session.state === "closed") return;
    if (e instanceof ConnectError) this.failure = e;
    else this.fail(e);
    this.session.close(now(), codeTimeout, e instanceof Error ? e.message : String(e), true);
  }
  /** Goes on over a link. What the last one may still bring is of no interest. */
  move(link) {
    if (this.session.state === "closed") return link.close();
    this.link?.close();
    this.link = link;
    this.session.link(now(), Math.max(1, (link.times.ice + link.times.transport) / 3));
    link.attach({
      datagram: (b) => typeof b !== "string" && this.onDatagram(b),
      drained: () => this.flush(),
      ended: () => {
        this.link = null;
        this.session.unlink(now());
      }
    });
    this.flush();
  }
  /** Tries new links until the server is heard again, on whichever link. */
  async reconnect() {
    if (this.trying) return;
    const trying = this.trying = new AbortController();
    const { signal } = trying;
    for (let wait = firstWait; !signal.aborted; ) {
      let pause = patience;
      try {
        const link = await this.connect({ scheme: "Godwit-Resume", token: this.session.token }, signal);
        if (signal.aborted) link.close();
        else this.move(link);
      } catch (e) {
        if (signal.aborted) break;
        const after = e instanceof ConnectError ? e.retryAfter : 0;
        if (after === void 0) {
          this.giveUp(e);
          break;
        }
        pause = Math.max(after, wait * (0.5 + Math.random() / 2));
        wait = Math.min(2 * wait, longestWait);
      }
      await sleep(pause, signal);
    }
    this.trying = null;
    if (this.session.interrupted) void this.reconnect();
  }
  // ---- datagrams and time ----------------------------------------------------------------------------------------
  onDatagram(b) {
    const t = now();
    this.session.receive(t, b);
    if (t >= this.session.deadline()) this.session.advance(t);
    this.flush();
  }
  flushSoon() {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => this.flush());
  }
  flush() {
    this.flushing = false;
    const t = now();
    const { link, session } = this;
    let ready = false;
    while (link && (ready = link.ready(t))) {
      const n = session.append(t, this.packet, maxPacket);
      if (n === 0) break;
      link.send(this.packet.subarray(0, n));
    }
    if (session.state === "closed" && (!link || session.over())) return this.release();
    this.arm(t, ready ? 0 : 50);
  }
  arm(t, least) {
    const at = Math.max(this.session.deadline(), t + least);
    if (at >= this.timerAt || at === Infinity) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => {
      this.timerAt = Infinity;
      this.session.advance(now());
      this.flush();
    }, at - t);
  }
  release() {
    clearTimeout(this.timer);
    this.timerAt = Infinity;
    this.link?.close();
    this.link = null;
  }
};
function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

// src/connect.ts
async function connect(url, options) {
  const conn = new Conn(url, options);
  await conn.opened;
  return conn;
}
async function* sessions(url, options) {
  for (; ; ) {
    const conn = await connect(url, options);
    try {
      yield conn;
      const { code, error } = await conn.closed;
      if (code !== codeShutdown && !error) return;
    } finally {
      void conn.close();
    }
  }
}

// src/raw.ts
var RawConn = class extends EventTarget {
  /** @internal */
  constructor(link) {
    super();
    this.link = link;
    this.times = link.times;
    link.attach({
      datagram: (data) => this.dispatchEvent(new MessageEvent("message", { data })),
      drained: () => {
      },
      ended: () => this.dispatchEvent(new Event("close"))
    });
  }
  link;
  /** How long the phases of connecting took. */
  times;
  /** Datagrams that were not sent, because the browser could not keep up. */
  dropped = 0;
  /** Sends one datagram of at most 1160 bytes, or drops it when it would wait: late it would be of no use. */
  send(data) {
    if (!this.link.ready(performance.now())) {
      this.dropped++;
      return false;
    }
    this.link.send(data);
    return true;
  }
  close() {
    this.link.close();
  }
};
async function connectRaw(url, o = {}) {
  const credentials = o.token === void 0 ? null : { scheme: "Bearer", token: o.token };
  const link = await openLink({
    label: o.label ?? "data",
    init: { protocol: o.protocol ?? "" },
    exchange: (offer, signal) => exchange(absolute(url), offer, credentials, o.request ?? {}, [], signal),
    timeout: o.timeout ?? 15e3,
    signal: o.signal ?? new AbortController().signal
  });
  link.times.total = link.times.offer + link.times.http + link.times.ice + link.times.transport;
  return new RawConn(link);
}
export {
  Conn,
  ConnCloseEvent,
  ConnectError,
  GodwitError,
  RawConn,
  RequestError,
  SendError,
  connect,
  connectRaw,
  sessions
};
