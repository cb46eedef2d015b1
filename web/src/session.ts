import { cut } from "./close";
import {
  hello,
  maxName,
  maxPayload,
  maxText,
  numbered,
  parseControl,
  typeAck,
  typeHere,
  typeReject,
  typeReply,
  typeRequest,
  type Control,
} from "./control";
import { RequestError, SendError } from "./errors";
import { Mux, type MuxConfig } from "./mux";
import { type MessageOptions } from "./outbox";
import { type Fate } from "./queue";

const silence = 3000; // after which the session is interrupted
const keepAlive = 2000; // silence after which a ping is sent
const openTimeout = 5000; // for WELCOME
const drainTime = 2000; // that a session which closes waits for acknowledgements
const maxEarly = 256 << 10; // bytes kept of what came before WELCOME
const maxServing = 64; // unanswered requests of the server
const maxWaiting = 1024; // unanswered requests of ours

// Close codes, docs/SESSION.md section 5.
export const codeNormal = 0;
export const codeShutdown = 2;
export const codeProtocol = 3;
export const codeTimeout = 6;
const codeEarly = 19;
const codeRequests = 20;

/** What a Session tells its user, in this order: opened, all the rest, closed. */
export interface SessionEvents {
  opened(): void;
  message(channel: number, b: Uint8Array): void;
  request(id: number, name: string, b: Uint8Array): void;
  interrupted(): void;
  resumed(): void;
  closed(code: number, reason: string, remote: boolean): void;
}

/** A request of ours that waits. */
interface Call {
  resolve: (b: Uint8Array | undefined) => void;
  reject: (e: RequestError) => void;
  sent: boolean;
}

/**
 * Session is the client's end of a session as docs/SESSION.md has it: one Mux, and what is said on its channel 0. Like
 * a Mux it does no I/O and reads no clock. It calls its user from within receive, advance and close; the user may call
 * anything from there.
 */
export class Session {
  readonly mux: Mux;
  state: "fresh" | "linked" | "open" | "closed" = "fresh";
  interrupted = false;
  id = 0n;
  token = ""; // to resume with, as base64url

  private links = 0; // how often it changed
  private since = 0; // of the interruption or, before opening, of the link
  private grace = 30_000;
  private inbox: { channel: number; b: Uint8Array }[] = []; // what the Mux has delivered
  private closedBy: { code: number; reason: string } | null = null; // the peer, just now
  private drainBy = Infinity; // when the close frame is sent at the latest
  private lastID = 0;
  private readonly calls = new Map<number, Call>();
  private readonly receipts = new Map<number, (fate: Fate) => void>();
  private readonly serving = new Set<number>();
  private ending = { code: 0, reason: "" };

  constructor(
    t: number,
    config: Omit<MuxConfig, "server" | "keepAlive">,
    message: Uint8Array,
    private readonly events: SessionEvents,
  ) {
    this.mux = new Mux(t, { ...config, server: false, keepAlive }, {
      message: (channel, b) => this.inbox.push({ channel, b }),
      receipt: (handle, fate) => {
        this.receipts.get(handle)?.(fate);
        this.receipts.delete(handle);
      },
      closed: (code, reason) => (this.closedBy = { code, reason }),
    });
    this.mux.send(t, 0, hello(message));
  }

  // ---- the link --------------------------------------------------------------------------------------------------

  /** Begins a link; what the last one still brings must not come here any more. */
  link(t: number, rtt: number): void {
    this.mux.relink(t, rtt);
    if (this.state === "fresh") {
      this.state = "linked";
      this.since = t;
    } else if (this.state === "open") {
      this.mux.send(t, 0, numbered(typeHere, ++this.links));
    }
  }

  /** Takes note that the link is gone. */
  unlink(t: number): void {
    if (this.state === "open") this.interrupt(t);
  }

  private interrupt(t: number): void {
    if (this.interrupted) return;
    this.interrupted = true;
    this.since = t;
    this.events.interrupted();
  }

  receive(t: number, b: Uint8Array): void {
    const heard = this.mux.packetsIn;
    this.mux.receive(t, b);
    if (this.interrupted && this.mux.packetsIn > heard && this.state === "open") {
      this.interrupted = false;
      this.events.resumed();
    }
    this.take(t);
  }

  append(t: number, b: Uint8Array, limit: number): number {
    this.drain(t);
    return this.mux.append(t, b, limit);
  }

  deadline(): number {
    const t = Math.min(this.mux.deadline(), this.drainBy);
    return this.state === "linked" || this.state === "open" ? Math.min(t, this.patience()) : t;
  }

  /** When silence has lasted too long. */
  private patience(): number {
    if (this.state === "linked") return this.since + openTimeout;
    return this.interrupted ? this.since + this.grace : this.mux.heard + silence;
  }

  advance(t: number): void {
    this.mux.advance(t);
    if (this.state !== "linked" && this.state !== "open") return;
    if (t < this.patience()) return;
    if (this.state === "linked") this.close(t, codeProtocol, "no WELCOME came in time", true);
    else if (this.interrupted) this.close(t, codeTimeout, "nothing was heard for too long", true);
    else this.interrupt(t);
  }

  // ---- what comes ------------------------------------------------------------------------------------------------

  /** Hands on what the Mux has delivered. Before WELCOME all but channel 0 waits, in order. */
  private take(t: number): void {
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
    if (early > 0 && this.state === "open") this.take(t); // WELCOME was behind it
    else if (early > maxEarly) this.close(t, codeEarly, "too much sent before WELCOME", true);
    const by = this.closedBy;
    this.closedBy = null;
    if (by) this.finish(by.code, by.reason, true);
  }

  private control(t: number, b: Uint8Array): void {
    const c = parseControl(b);
    if (!c) return this.close(t, codeProtocol, "a control message is malformed", true);
    if (c.type === 2) return this.welcome(c);
    if (c.type >= 0x80) return;
    if (this.state !== "open") return this.close(t, codeProtocol, "the first control message is not WELCOME", true);
    if (c.type === typeRequest) this.request(t, c);
    else if (c.type === typeReply) this.answered(c.id, (call) => call.resolve(c.payload));
    else if (c.type === typeAck) this.answered(c.id, (call) => call.resolve(undefined));
    else if (c.type === typeReject) this.answered(c.id, (call) => call.reject(new RequestError("rejected", c.text)));
    else this.close(t, codeProtocol, "a server sent what only clients send", true);
  }

  private welcome(c: Control): void {
    this.id = c.session;
    this.grace = c.grace;
    this.token = btoa(String.fromCharCode(...c.token))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=/g, "");
    if (this.state === "open") return;
    this.state = "open";
    this.events.opened();
  }

  // ---- what goes -------------------------------------------------------------------------------------------------

  send(t: number, channel: number, b: Uint8Array, o?: MessageOptions): number {
    if (this.state === "closed") throw new SendError("closed", "the session has ended");
    if (this.interrupted && !this.mux.outbox.senders[channel]!.reliable) {
      throw new SendError("interrupted", "the link is silent: only reliable messages are queued");
    }
    return this.mux.send(t, channel, b, o);
  }

  /** Calls f once with what became of a message that was sent with receipt. */
  onReceipt(handle: number, f: (fate: Fate) => void): void {
    this.receipts.set(handle, f);
  }

  /** Sends a request. undefined is an answer without bytes. */
  call(t: number, name: string, payload: Uint8Array): { id: number; answer: Promise<Uint8Array | undefined> } {
    const n = new TextEncoder().encode(name);
    if (n.length < 1 || n.length > maxName) throw new SendError("size", `the name of a request has 1 to ${maxName} bytes`);
    if (payload.length > maxPayload) throw new SendError("size", `a request has at most ${maxPayload} bytes`);
    if (this.calls.size >= maxWaiting) throw new SendError("budget", `${maxWaiting} requests wait for an answer`);
    do this.lastID = (this.lastID + 1) >>> 0;
    while (this.lastID === 0 || this.calls.has(this.lastID));
    const id = this.lastID;
    const body = numbered(typeRequest, id, Uint8Array.of(n.length), n, payload);
    const handle = this.send(t, 0, body, { receipt: true });
    const answer = new Promise<Uint8Array | undefined>((resolve, reject) => {
      const call: Call = { resolve, reject, sent: true };
      this.calls.set(id, call);
      this.onReceipt(handle, (fate) => (call.sent = fate !== "abandoned"));
    });
    return { id, answer };
  }

  /** Makes the answer to a request of no interest. */
  forget(id: number): void {
    this.calls.delete(id);
  }

  private answered(id: number, f: (call: Call) => void): void {
    const call = this.calls.get(id);
    if (!call) return;
    this.calls.delete(id);
    f(call);
  }

  private request(t: number, c: Control): void {
    if (this.serving.has(c.id)) return this.close(t, codeProtocol, "a request has the id of an unanswered one", true);
    this.serving.add(c.id);
    if (this.serving.size > maxServing) this.reject(t, c.id, "too many requests in flight");
    else this.events.request(c.id, c.name, c.payload);
  }

  /** Answers a request of the server, with bytes or without. */
  answer(t: number, id: number, payload: Uint8Array | undefined): void {
    if (!this.serving.has(id)) return;
    if (payload && payload.length > maxPayload) return this.reject(t, id, "the reply is too large");
    this.mux.send(t, 0, payload ? numbered(typeReply, id, payload) : numbered(typeAck, id));
    this.serving.delete(id);
  }

  /** Refuses a request of the server. */
  reject(t: number, id: number, why: string): void {
    if (!this.serving.delete(id)) return;
    try {
      this.mux.send(t, 0, numbered(typeReject, id, cut(why, maxText)));
    } catch {
      this.close(t, codeRequests, "too many requests, and their answers are not taken", true);
    }
  }

  // ---- the end ---------------------------------------------------------------------------------------------------

  /** Ends the session. What was sent reliably is delivered first, for 2 s at most; atOnce says not to wait. */
  close(t: number, code: number, reason: string, atOnce: boolean): void {
    if (this.state === "closed") return;
    this.ending = { code, reason };
    this.drainBy = atOnce || this.interrupted || this.state !== "open" ? t : t + drainTime;
    if (this.drainBy <= t) this.drain(t);
    this.finish(code, reason, false);
  }

  /** Sends the close frame when all has arrived, or it is time. */
  private drain(t: number): void {
    if (this.drainBy === Infinity || (t < this.drainBy && !this.mux.outbox.settled())) return;
    this.drainBy = Infinity;
    this.mux.close(t, this.ending.code, this.ending.reason);
  }

  private finish(code: number, reason: string, remote: boolean): void {
    if (this.state === "closed") {
      this.drainBy = Infinity; // the peer was faster
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
  over(): boolean {
    return this.state === "closed" && this.drainBy === Infinity && this.mux.closed();
  }
}
