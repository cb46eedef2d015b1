import { nothing } from "./bytes";
import { CloseCode } from "./close";
import { type Conn, type ConnectOptions } from "./conn";
import { connect } from "./connect";
import { deferred } from "./deferred";
import { ConnectError } from "./error";
import { type Message, pieceAcked, pieceFlying } from "./queue";
import { open } from "./session";
import { absolute } from "./signaling";
import { type Channel, hash, openLine } from "./table";
import { must } from "./varint";

const maxSaved = 2 << 20; // characters of a session that keep saves; a larger one ends with its page

// A session as JSON: what belongs to it and not to its link. Times are of the clock, for the next page's begin at
// another moment. All of it is lists, because names differ from one minified bundle to the next; the version is of the
// form, and a page with a script of another one begins a new session.
const version = 3;

type Saved = [
  version: number,
  at: number,
  id: string,
  token: string,
  grace: number,
  links: number,
  lastID: number,
  serving: [id: number, name: string, b: string][],
  opened: string[], // lines of the table's text
  channels: SavedChannel[],
  inbox: [channel: number, b: string][],
];
type SavedChannel = [nextID: number, base: number, messages: SavedMessage[], partials: SavedPartial[], unheard: string[]];
type SavedMessage = [id: number, sent: number, acked: boolean[], key: number | string, deadline: number | null, b: string];
type SavedPartial = [id: number, have: boolean[], b: string]; // have is empty for one that was delivered

type AnyConn = Conn<readonly Channel[]>;

/**
 * Takes the session from its Conn and returns it as text, for resume to go on with, here or in the page that comes next.
 * The Conn ends: promises of requests reject with "response-lost", and those of receipts resolve with "abandoned". Returns ""
 * if the session is not open, or close was called, and does nothing then.
 *
 * The text is as secret as a password, good for the grace time of the server, and only once.
 */
export function suspend<const C extends readonly Channel[]>(conn: Conn<C>): string {
  const saved = save(conn as unknown as AnyConn);
  if (saved) leave(conn as unknown as AnyConn);
  return saved;
}

/**
 * Goes on with a session that suspend returned. options are those of connect, and no token is spent. Rejects with a
 * ConnectError, whose code is "resume" if the session is over, and "closed" if the server was not heard for the rest of
 * the grace time.
 */
export async function resume<const C extends readonly Channel[]>(
  url: string | URL,
  options: ConnectOptions<C>,
  saved: string,
): Promise<Conn<C>> {
  options.signal?.throwIfAborted();
  return connect(url, options, (c) => restore(c as unknown as AnyConn, saved));
}

/**
 * Connects so that the session goes on when the page is loaded again: it is saved in sessionStorage under key, which has
 * url without its query unless it is given, when the page goes, and taken from there, once, by the next one, whose Conn is continued. Where that cannot be, it is a new one.
 */
export async function keep<const C extends readonly Channel[]>(
  url: string | URL,
  options: ConnectOptions<C>,
  key = "godwit " + /[^?#]*/.exec(`${absolute(url)}`),
): Promise<Conn<C>> {
  await null; // who is aborted at once, as where React mounts twice, takes nothing
  options.signal?.throwIfAborted();
  let saved: string | null = null;
  try {
    saved = sessionStorage.getItem(key);
    sessionStorage.removeItem(key);
  } catch {
    // The browser has none for this page.
  }
  const frozen = deferred<void>();
  const kept = (begin: (c: AnyConn) => void): Promise<Conn<C>> =>
    connect(url, options, (conn) => {
      const c = conn as unknown as AnyConn;
      let saved = "";
      c.hide = () => hide(c, key);
      c.freeze = () => {
        frozen.resolve();
        try {
          sessionStorage.setItem(key, (saved = save(c)));
        } catch {
          saved = ""; // it is this page's alone
        }
      };
      c.back = () => {
        if (!saved) return true; // and what is there is another page's
        if (sessionStorage.getItem(key) !== saved) return false; // the next page has taken it
        sessionStorage.removeItem(key);
        return true;
      };
      void c.closed.then(c.back); // what the program ends while the page goes is nobody's
      begin(c);
    });
  if (saved) {
    try {
      return await kept((c) => claim(c, saved, frozen.promise));
    } catch (e) {
      if (sessionStorage.getItem(key)) throw e; // saved again: the page goes
    }
  }
  return kept((c) => void c.begin());
}

/**
 * restore, if no other page has gone on with this session: a tab can be copied with its storage. Holds it until c ends, or its
 * page is frozen: browsers do not bring back a page that holds a lock.
 */
function claim(c: AnyConn, saved: string, frozen: Promise<void>): void {
  const { locks } = navigator;
  const go = (lock: unknown): unknown => {
    restore(c, lock ? saved : "");
    return Promise.race([c.closed, frozen]);
  };
  const alone = (): unknown => go(c); // the server's newest link wins
  if (locks)
    locks.request(`godwit ${hash(saved)}`, { ifAvailable: true }, go).catch(alone); // denied to this page
  else alone();
}

/** Ends a Conn, but not its session. */
function leave(c: AnyConn): void {
  c.link?.close();
  c.link = null;
  c.unheard.fill(null); // the next page hears it
  c.session.mux.outbox.abandon(); // this page will not hear what becomes of them
  c.session.finish(CloseCode.Normal, "suspended", false);
}

/** Saves the session of a page that goes, or ends it if that cannot be. */
function hide(c: AnyConn, key: string): void {
  const saved = save(c);
  try {
    if (!saved || saved.length > maxSaved) throw saved;
    sessionStorage.setItem(key, saved);
    leave(c);
  } catch {
    c.abort();
  }
}

function save({ session, unheard, table, channels }: AnyConn): string {
  const { id, token, grace, links, lastID, serving, mux } = session;
  const now = Date.now();
  const message = (m: Message): SavedMessage => {
    const acked = m.pieces.map((q) => q.state === pieceAcked);
    return [m.id, m.sent, acked, m.key, m.deadline - performance.now() + now, text(m.b.subarray(m.start, m.start + m.size))];
  };
  if (session.state !== open || session.closing) return "";
  const saved: Saved = [
    version,
    now,
    `${id}`,
    token,
    grace,
    links,
    lastID,
    Array.from(serving, ([id, [name, b]]) => [id, name, text(b)]),
    channels.map((c, i) => openLine(c, table.length - channels.length + i)),
    mux.outbox.senders.map((s, i) => {
      const { base, partials } = mux.receivers[i]!;
      if (!s.reliable) return [s.nextID, base, [], [], []];
      return [
        s.nextID,
        base,
        [...s.waiting, ...s.queue].map(message),
        Array.from(partials, ([id, p]) => [id, p?.have ?? [], text(p?.body)]),
        unheard[i]?.messages.slice(unheard[i].first).map((b) => text(b)) ?? [],
      ];
    }),
    session.inbox.map(([channel, b]) => [channel, text(b)]),
  ];
  return JSON.stringify(saved);
}

/** Makes a new Conn go on with a session. */
function restore(c: AnyConn, json: string): void {
  const { session, unheard } = c;
  const { outbox, receivers } = session.mux;
  const t = performance.now();
  if (session.state) return; // given up before it was known whether it may go on, or gone on with already
  try {
    const [form, at, id, token, grace, links, lastID, serving, opened, channels, inbox] = JSON.parse(json) as Saved;
    const age = Date.now() - at;
    must(form === version && age >= 0 && age <= grace);
    outbox.abandon(); // HELLO
    for (const line of opened) session.add(line);
    channels.forEach(([nextID, base, messages, partials, waiting], i) => {
      const s = outbox.senders[i]!;
      const r = receivers[i]!;
      for (const [id, sent, acked, key, deadline, b] of messages) {
        outbox.send(t, i, bytes(b), { key });
        const m = s.queue.at(-1)!;
        m.id = id;
        m.sent = sent;
        m.deadline = (deadline ?? Infinity) - Date.now() + t;
        for (const q of m.pieces.slice(0, sent)) {
          q.state = acked[q.i] ? pieceAcked : pieceFlying;
          if (acked[q.i]) m.left--;
          else outbox.pieceLost(q, q.number);
        }
        if (sent < m.pieces.length) continue;
        m.list = s.waiting;
        s.waiting.push(s.queue.pop()!);
      }
      s.nextID = nextID;
      r.base = base;
      for (const [id, have, b] of partials) {
        if (have.length) r.add(t, id, bytes(b), have);
        else r.partials.set(id, null);
      }
      for (const b of waiting) unheard[i]!.push(bytes(b));
    });
    for (const [id, name, b] of serving) session.serving.set(id, [name, bytes(b)]);
    for (const [channel, b] of inbox) session.inbox.push([channel, bytes(b)]);
    Object.assign(session, { id: BigInt(id), token, grace, links, lastID, state: open });
    c.continued = true;
    c.addEventListener(
      "resumed",
      () => {
        c.opening.resolve();
        for (const [id, [name, b]] of session.serving) void c.serve(id, name, b);
      },
      { once: true },
    );
    session.interrupt(t - age); // which makes it look for a link
    c.flushSoon(); // from now on it looks at the time
  } catch (cause) {
    c.giveUp(new ConnectError("resume", "the saved session has ended, or another page has it: call connect", { cause }));
  }
}

/** b as base64, and back. */
function text(b: Uint8Array = nothing): string {
  let s = "";
  for (let i = 0; i < b.length; i += 4096) s += String.fromCharCode(...b.subarray(i, i + 4096));
  return btoa(s);
}

const bytes = (s: string): Uint8Array => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
