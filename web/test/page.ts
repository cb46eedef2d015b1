// A page without a browser: the parts of a browser that the client needs, and a server. Time is that of vitest.
import { createHmac } from "node:crypto";
import { vi } from "vitest";
import {
  numbered,
  parseControl,
  typeHello,
  typeHere,
  typeMove,
  typeOpen,
  typeOpened,
  typeReply,
  typeRequest,
  typeShut,
} from "../src/control";
import { type Invite, typeRefused } from "../src/direct";
import { Mux, type MuxEvents } from "../src/mux";
import { type LinkPipe, type LinkType } from "../src/options";
import { maxPacket } from "../src/packet";
import { type Channel, type FullChannel } from "../src/table";
import { type Engine, muxConfig, random } from "./sim";

const tick = 5; // ms
export const carryTime = 2 * tick; // one way
const grace = 30_000;

/** The engine of a session at the server. */
interface ServerMux extends Engine {
  send(t: number, channel: number, b: Uint8Array): unknown;
  relink(t: number, rtt: number, reliable?: boolean): void;
  open?(c: FullChannel, id?: number): void;
  stopReceiving?(id: number): void;
  close?(t: number, code: number, reason: string): void;
}

type Message = [channel: number, b: Uint8Array];

/** One session at the server: it echoes messages, answers requests in capitals, and keeps what has arrived. */
class ServerSession {
  readonly came: Message[] = [];
  readonly moves: number[] = []; // counts of HERE
  readonly opened: number[] = []; // channels of OPENED
  readonly lines: string[] = []; // of OPEN
  readonly shut: number[] = []; // channels of SHUT
  hellos = 0;
  closed: [number, string] | null = null;
  token = new Uint8Array(16);
  readonly tokens: string[] = []; // all tokens so far
  channel: FakeChannel | null = null;
  readonly mux: ServerMux;
  private readonly inbox: Message[] = [];
  private readonly packet = new Uint8Array(maxPacket);

  constructor(
    readonly id: number,
    private readonly server: Server,
  ) {
    this.mux = server.engine({
      message: (channel, b) => this.inbox.push([channel, b.slice()]),
      closed: (code, reason) => (this.closed = [code, reason]),
    });
  }

  /** The first packet on a link has arrived. */
  move(channel: FakeChannel): void {
    this.channel?.end();
    this.channel = channel;
    this.mux.relink(performance.now(), 50, channel instanceof FakeSocket);
    this.token = this.token.map(() => this.server.draw() * 256);
    this.tokens.push(this.authorization);
    const { most, maxQueue } = this.server;
    const next = this.server.quick ? this.server.admission("R", this) : undefined;
    const welcome = new Uint8Array(most < 0 ? 33 : most ? 38 : 34);
    const v = new DataView(welcome.buffer);
    v.setUint8(0, 2);
    v.setBigUint64(1, BigInt(this.id));
    welcome.set(this.token, 9);
    v.setUint32(25, grace);
    v.setUint32(29, 10_000);
    if (most >= 0) v.setUint8(33, most);
    if (most > 0) v.setUint32(34, maxQueue);
    const credentials = next ? [next.ufrag.length, ...Buffer.from(next.ufrag), next.pwd.length, ...Buffer.from(next.pwd)] : [];
    this.mux.send(performance.now(), 0, Uint8Array.of(...welcome, ...credentials));
  }

  /** Opens a channel at run time: the client gets this line. */
  open(line: string, c?: FullChannel): void {
    if (c) this.mux.open!(c);
    this.mux.send(performance.now(), 0, Uint8Array.of(typeOpen, ...new TextEncoder().encode(line)));
  }

  /** Answers an OPEN of the client. */
  answer(id: number, c: FullChannel): void {
    this.mux.open!(c, id);
    this.mux.send(performance.now(), 0, Uint8Array.of(typeOpened, id));
  }

  /** Says that the server sends nothing more on a channel. */
  shutChannel(id: number): void {
    this.mux.send(performance.now(), 0, Uint8Array.of(typeShut, id));
  }

  /** Moves the client: seat is JSON. */
  moveTo(seat: string): void {
    this.mux.send(performance.now(), 0, Uint8Array.of(typeMove, ...Buffer.from(seat)));
  }

  /** Ends the session. */
  close(code: number): void {
    this.mux.close!(performance.now(), code, "");
  }

  receive(b: Uint8Array): void {
    this.mux.receive(performance.now(), b);
    for (const [channel, m] of this.inbox.splice(0)) {
      if (channel) {
        this.came.push([channel, m]);
        this.mux.send(performance.now(), channel, m);
      } else {
        this.control(m);
      }
    }
    this.flush();
  }

  private control(b: Uint8Array): void {
    if (b[0] === typeHello) this.hellos++;
    else if (b[0] === typeOpened) this.opened.push(b[1]!);
    else if (b[0] === typeOpen) this.lines.push(Buffer.from(b.subarray(1)).toString());
    else if (b[0] === typeShut) {
      this.mux.stopReceiving!(b[1]!);
      this.shut.push(b[1]!);
    } else if (b[0] === typeHere) this.moves.push(new DataView(b.buffer).getUint32(1));
    else {
      const c = parseControl(b);
      if (c.type !== typeRequest) this.server.answers.push(c);
      else if (c.words !== "never") this.mux.send(performance.now(), 0, numbered(typeReply, c.id, upper(c.payload)));
    }
  }

  flush(): void {
    for (let n = 1; this.channel && n > 0; ) {
      n = this.mux.append(performance.now(), this.packet, maxPacket);
      if (n > 0) this.channel.fromServer(this.packet.slice(0, n));
    }
  }

  get authorization(): string {
    return `Godwit-Resume ${Buffer.from(this.token).toString("base64url")}`;
  }
}

/** What lets a page in without a request. */
export interface Admission {
  ufrag: string;
  pwd: string;
  session?: ServerSession; // undefined for an invite that is good
  spent?: boolean;
}

const print = (byte: number): string => `sha-256 ${Array(32).fill(byte.toString(16).toUpperCase()).join(":")}`;
/** The fingerprint of the server. */
export const fingerprint = print(0xab);
export const addresses = ["203.0.113.7:7777", "[2001:db8::1]:7777"];

/** The part of crypto.subtle that the client uses, which does not wait for another thread: time is that of vitest. */
const subtle = {
  importKey: async (_: string, key: Uint8Array, { name, hash }: HmacImportParams) => ({ key, algorithm: `${name} ${hash}` }),
  async sign(_: string, { key, algorithm }: { key: Uint8Array; algorithm: string }, b: Uint8Array) {
    if (algorithm !== "HMAC SHA-256") throw new DOMException(algorithm, "NotSupportedError");
    return createHmac("sha256", key).update(b).digest();
  },
};

const upper = (b: Uint8Array): Uint8Array => new TextEncoder().encode(Buffer.from(b).toString().toUpperCase());

/** Server answers fetch, and is the path to its sessions. */
export class Server {
  readonly sessions: ServerSession[] = [];
  readonly asked: string[] = []; // credentials of each request
  readonly urls: string[] = [];
  readonly own: (string | null)[] = []; // Authorization of each request
  readonly answers: ReturnType<typeof parseControl>[] = []; // to requests of the server
  most = -1; // channels that the client may open, or -1: the server does not support SHUT
  maxQueue = 1000; // of those
  loss = 0;
  dark = false;
  refusal = 0; // status of each answer, if there is one
  says: Record<string, string> = { code: "full", error: "no room" };
  foreign = 0; // status of the answers of a proxy, if there is one
  page = "<html>"; // of the proxy
  retryAfter = ""; // of refusals and of a proxy
  redirects: (string | undefined)[] = []; // the option redirect of each request
  clock = (): number => performance.now(); // of the page's events
  readonly draw = random(1);
  udp = true; // UDP arrives
  fails = false; // a browser without UDP says so after a second; otherwise it goes on trying
  tcp = true; // WebSockets open
  delay = 0; // of an answer, in ms
  ice = 8 * tick; // from the answer to the path, in ms
  dtls = 0; // from the path to the open channel
  sockets = false; // the answers offer a WebSocket
  webrtc = true; // the answers have an SDP
  element: Record<string, unknown> = {}; // more members of the offer of a WebSocket
  readonly bodies: [body: unknown, type: string | null][] = []; // of the requests
  readonly opened: [url: string, protocols: string[]][] = []; // WebSockets
  readonly closes: (number | undefined)[] = []; // status codes with which the page has closed WebSockets
  readonly tickets = new Map<string, ServerSession>(); // those that are good
  others: Record<string, unknown>[] = []; // more links that the answers offer, with the same ticket
  quick = false; // the answers and WELCOME say how to open a link without a request; set most, too
  refuses: Record<string, unknown> | undefined; // what it answers to ADMIT, if it refuses
  unadmitted = 0; // packets before ADMIT, which it drops
  readonly admissions = new Map<string, Admission>(); // by ufrag
  readonly admits: string[] = []; // ufrag and query of each ADMIT
  readonly remote: string[] = []; // the answers that the page has set
  private readonly links = new Map<string, ServerSession>();
  private offers = 0;

  constructor(
    channels: readonly Channel[],
    readonly engine = (events: MuxEvents): ServerMux =>
      new Mux(performance.now(), muxConfig(channels, { mine: "to-client", keepAlive: 5000 }), events),
  ) {
    vi.stubGlobal("fetch", async (url: URL, init: RequestInit) => {
      this.urls.push(`${url}`);
      return this.offer(init);
    });
    vi.stubGlobal("RTCPeerConnection", class extends FakePeerConnection {});
    vi.stubGlobal("WebSocket", class extends FakeSocket {});
    vi.stubGlobal("crypto", { subtle });
    FakeSocket.server = this;
    FakePeerConnection.server = this;
    setInterval(() => {
      for (const s of this.sessions) {
        if (s.closed) continue;
        s.mux.advance(performance.now());
        s.flush();
      }
    }, tick);
  }

  private async offer(init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    this.bodies.push([init.body, headers.get("Content-Type")]);
    if (this.delay) await new Promise((resolve) => setTimeout(resolve, this.delay));
    this.own.push(headers.get("Authorization"));
    const authorization = headers.get("Godwit-Authorization") ?? headers.get("Authorization") ?? "";
    this.asked.push(authorization);
    if (this.dark) throw new TypeError("no network");
    this.redirects.push(init.redirect);
    const later: Record<string, string> = this.retryAfter ? { "Retry-After": this.retryAfter } : {};
    if (this.foreign) return new Response(this.page, { status: this.foreign, headers: later });
    if (this.refusal) return new Response(JSON.stringify(this.says), { status: this.refusal, headers: later });
    // If a WELCOME may be lost, the client may still have an older token.
    const known = (s: ServerSession): boolean =>
      this.loss ? s.tokens.includes(authorization) : s.authorization === authorization;
    let s = this.sessions.find(known);
    if (!s && authorization.startsWith("Godwit-Resume")) {
      return new Response(JSON.stringify({ error: "no such session", code: "resume" }), { status: 410 });
    }
    if (!s) this.sessions.push((s = new ServerSession(this.sessions.length + 1, this)));
    this.links.set(`${this.offers}`, s);
    const more = this.quick ? ` a\r\na=candidate:1 1 udp 1 203.0.113.7 7777 typ host\r\na=fingerprint:${fingerprint}\r\n` : "";
    const answer = this.webrtc && init.body ? { type: "answer", sdp: `${this.offers++}${more}` } : undefined;
    if (!this.sockets && !init.body) return new Response(JSON.stringify({ code: "request", error: "no offer" }), { status: 400 });
    if (!this.sockets) return new Response(JSON.stringify({ answer }));
    const ticket = `t${this.asked.length}`;
    for (const [old, of] of this.tickets) if (of === s) this.tickets.delete(old);
    this.tickets.set(ticket, s);
    return new Response(
      JSON.stringify({
        answer,
        links: [
          null,
          { type: "strange" },
          { type: "websocket", ticket, ...this.element },
          ...this.others.map((o) => ({ ticket, ...o })),
        ],
      }),
    );
  }

  session(sdp: string): ServerSession {
    return this.links.get(sdp.split(" ", 1)[0]!)!;
  }

  /** Makes what lets a page in without a request. */
  admission(form: "D" | "R", session?: ServerSession): Admission {
    const n = `${this.admissions.size}`;
    const a = { ufrag: `${form}AAAA${n}`, pwd: n.padStart(32, "p"), ...(session && { session }) };
    this.admissions.set(a.ufrag, a);
    return a;
  }

  /** Makes an invite. */
  invite(more: Partial<Invite> = {}): Invite {
    const { ufrag, pwd } = this.admission("D");
    return { v: 1, addresses, fingerprint, ufrag, pwd, ...more };
  }

  /** Processes ADMIT on a link. Returns the session of the link, or the refusal. */
  admit(a: Admission, b: Uint8Array): ServerSession | Record<string, unknown> {
    const query = Buffer.from(b.subarray(33)).toString();
    this.admits.push(`${a.ufrag} ${query}`);
    const hello = Buffer.concat([Buffer.from("hello"), Buffer.alloc(32, 0xcd), Buffer.alloc(32, 0xab)]);
    const proof = createHmac("sha256", a.pwd).update(hello).digest();
    if (!proof.equals(b.subarray(1, 33))) return { status: 403, code: "forbidden", error: "the proof is wrong" };
    if (this.refuses) return this.refuses;
    if (a.spent) return { status: 409, code: "invite", reason: "spent", error: "the invite was used before" };
    if (a.session) return a.session;
    a.spent = true;
    const s = new ServerSession(this.sessions.length + 1, this);
    this.sessions.push(s);
    return s;
  }

  /** Carries a packet to the other end, or loses it. */
  carry(f: () => void, udp = true): void {
    if (!this.dark && (udp ? this.udp : this.tcp) && this.draw() >= this.loss) setTimeout(f, carryTime);
  }
}

class FakeChannel {
  readyState: string | number = "connecting";
  protected readonly isOpen: string | number = "open";
  protected readonly isClosed: string | number = "closed";
  protected readonly udp: boolean = true;
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((ev: { data: ArrayBuffer; timeStamp: number }) => void) | null = null;
  session: ServerSession | null = null;
  admission: Admission | undefined; // of a link without a request that is not admitted

  constructor(private readonly server: Server) {}

  send(b: Uint8Array | string): void {
    if (this.readyState !== this.isOpen) throw new Error("InvalidStateError");
    if (typeof b === "string") return;
    if (!(b.buffer instanceof ArrayBuffer)) throw new TypeError("shared");
    const copy = b.slice();
    this.server.carry(() => {
      if (this.readyState !== this.isOpen) return;
      if (!(copy[0]! >> 4)) {
        if (this.admission) this.admit(this.server.admit(this.admission, copy));
        return;
      }
      if (!this.session) return void this.server.unadmitted++;
      if (this.session.channel !== this) this.session!.move(this);
      this.session.receive(copy);
    }, this.udp);
  }

  private admit(result?: ServerSession | Record<string, unknown>): void {
    if (!result) return;
    this.admission = undefined;
    if (result instanceof ServerSession) this.session = result;
    else this.fromServer(Uint8Array.of(typeRefused, ...Buffer.from(JSON.stringify(result))));
  }

  fromServer(b: Uint8Array): void {
    this.server.carry(() => {
      if (this.readyState !== this.isOpen) return;
      this.onmessage?.({ data: b.buffer as ArrayBuffer, timeStamp: this.server.clock() });
    }, this.udp);
  }

  end(): void {
    if (this.readyState === this.isClosed) return;
    this.readyState = this.isClosed;
    this.onclose?.();
  }
}

export const socketTime = 20; // ms in which a WebSocket opens

class FakeSocket extends FakeChannel {
  static server: Server;
  override readyState: string | number = 0;
  protected override readonly isOpen = 1;
  protected override readonly isClosed = 3;
  protected override readonly udp = false;

  constructor(url: string, protocols: string[], takes = socketTime, opens = (): boolean => FakeSocket.server.tcp) {
    const { server } = FakeSocket;
    super(server);
    server.opened.push([url, protocols]);
    const ticket = protocols[1]!.replace("ticket.", "");
    const session = server.tickets.get(ticket);
    if (!server.others.length) server.tickets.delete(ticket); // with other links it is good for each of them
    setTimeout(() => {
      if (!opens() || this.readyState !== 0) return;
      if (!session) return this.end();
      this.session = session;
      this.readyState = 1;
      this.onopen?.();
    }, takes);
  }

  close(code?: number): void {
    if (this.readyState !== 3) FakeSocket.server.closes.push(code);
    this.onclose = null;
    this.end();
  }
}

/** A link of a page's own, which takes some time to open, if it opens. It carries what TCP carries. */
export const fakeLink = (takes: number, opens = true): LinkType => ({
  name: "webtransport",
  lossless: false,
  dial: ({ address, ticket }) => new FakeSocket(address, ["", `ticket.${ticket}`], takes, () => opens) as unknown as LinkPipe,
});

const quickOffer = `v=0\r\na=fingerprint:${print(0xcd)}\r\na=mid:data\r\n`;

class FakePeerConnection {
  static server: Server;
  localDescription = { sdp: FakePeerConnection.server.quick ? quickOffer : "offer" };
  iceConnectionState = "new";
  connectionState = "new";
  oniceconnectionstatechange: (() => void) | null = null;
  onconnectionstatechange: (() => void) | null = null;
  private readonly channel = new FakeChannel(FakePeerConnection.server);

  createDataChannel(): FakeChannel {
    return this.channel;
  }

  async setLocalDescription(): Promise<void> {}

  async setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    const { server } = FakePeerConnection;
    server.remote.push(sdp);
    const ufrag = /^a=ice-ufrag:(.*)$/m.exec(sdp)?.[1];
    if (ufrag) this.channel.admission = server.admissions.get(ufrag);
    else this.channel.session = server.session(sdp);
    if (!server.udp && server.fails) {
      setTimeout(() => {
        this.connectionState = "failed";
        this.onconnectionstatechange?.();
      }, 1000);
      return;
    }
    const open = (): void => {
      if (this.channel.readyState !== "connecting") return;
      if (!server.udp) return void setTimeout(open, 8 * tick);
      this.iceConnectionState = "connected";
      this.oniceconnectionstatechange?.();
      if (server.dtls) setTimeout(opened, server.dtls);
      else opened();
    };
    const opened = (): void => {
      if (this.channel.readyState !== "connecting") return;
      this.channel.readyState = "open";
      this.channel.onopen?.();
    };
    setTimeout(open, server.ice);
  }

  close(): void {
    this.channel.onclose = null;
    this.channel.end();
  }
}

/** Returns conn.id of the nth session of the server. */
export const number = (n: number) => String(n).padStart(16, "0");
