import { CloseCode } from "./close";
import { type Conn } from "./conn";
import { connect } from "./connect";
import { deferred } from "./deferred";
import { inviteOf, type Target } from "./direct";
import { ConnectError } from "./error";
import { restoreInbox, snapshotInbox } from "./inbox";
import { type ConnectOptions } from "./options";
import { restoreSession, type SavedSession, snapshotSession } from "./saved";
import { absolute } from "./signaling";
import { type Channel, hash, isReliable } from "./table";
import { must } from "./varint";

const maxSaved = 2 << 20; // characters of a session that keep saves; a larger session ends with its page

// A session as JSON. A page whose script has another version of this form begins a new session.
const version = 6;

type Saved = [version: number, at: number, session: SavedSession, unheard: (Uint8Array[] | null)[]];

type AnyConn = Conn<readonly Channel[]>;

/**
 * Ends a Conn, and returns its session as text, with which resume continues it, in this page or in the next one.
 * Promises of requests reject with "response-lost", and those of receipts resolve with "abandoned". If the session is
 * not open, or close was called, suspend returns "" and does nothing.
 *
 * The text is as secret as a password. It can be used once, within the grace time of the server.
 */
export function suspend<const C extends readonly Channel[]>(conn: Conn<C>): string {
  const saved = save(conn as unknown as AnyConn);
  if (saved) leave(conn as unknown as AnyConn);
  return saved;
}

/**
 * Continues a session that suspend returned. options are those of connect; no token is used. Rejects with a
 * ConnectError: its code is "resume" if the session is over, and "closed" if the server was not reachable for the rest
 * of the grace time.
 */
export async function resume<const C extends readonly Channel[]>(
  target: Target,
  options: ConnectOptions<C>,
  saved: string,
): Promise<Conn<C>> {
  options.signal?.throwIfAborted();
  return connect(target, options, (c) => restore(c as unknown as AnyConn, saved));
}

/**
 * Connects like connect, but the session continues when the page is loaded again: when the page goes, the session is
 * saved in sessionStorage under key. The next page that calls keep takes it from there, once, and its Conn is
 * continued. If that is not possible, the session is a new one. key is "godwit " and target without its query, or the
 * fingerprint of an invite, unless it is given.
 */
export async function keep<const C extends readonly Channel[]>(
  target: Target,
  options: ConnectOptions<C>,
  key = `godwit ${inviteOf(target)?.fingerprint ?? /[^?#]*/.exec(`${absolute(target as string)}`)}`,
): Promise<Conn<C>> {
  await null; // an attempt that is aborted at once, as when React mounts twice, takes nothing
  options.signal?.throwIfAborted();
  let saved: string | null = null;
  try {
    saved = sessionStorage.getItem(key);
    sessionStorage.removeItem(key);
  } catch {
    // The browser has no storage for this page.
  }
  const frozen = deferred<void>();
  const kept = (begin: (c: AnyConn) => void): Promise<Conn<C>> =>
    connect(target, options, (conn) => {
      const c = conn as unknown as AnyConn;
      let saved = "";
      c.hide = () => hide(c, key);
      c.onFreeze = () => {
        frozen.resolve();
        try {
          sessionStorage.setItem(key, (saved = save(c)));
        } catch {
          saved = ""; // then only this page has the session
        }
      };
      c.onBack = () => {
        if (!saved) return true; // what is stored belongs to another page
        if (sessionStorage.getItem(key) !== saved) return false; // the next page has taken the session
        sessionStorage.removeItem(key);
        return true;
      };
      void c.closed.then(c.onBack); // removes a session that the program has closed since it was saved
      begin(c);
    });
  if (saved) {
    try {
      return await kept((c) => claim(c, saved, key, frozen.promise));
    } catch (e) {
      if (sessionStorage.getItem(key)) throw e; // the session was saved again, because the page goes
    }
  }
  return kept((c) => void c.seeker.begin());
}

/**
 * Restores a session if no other page has done so: a tab can be copied with its storage. A lock says so, until c ends
 * or its page is frozen: browsers do not show a page again that holds a lock.
 */
function claim(c: AnyConn, saved: string, key: string, frozen: Promise<void>): void {
  const { locks } = navigator;
  const { hide } = c;
  c.hide = () => {
    sessionStorage.setItem(key, saved); // the page goes before it has the lock: the next page may have the session
    c.endNow();
  };
  const go = (lock: unknown): unknown => {
    c.hide = hide;
    restore(c, lock ? saved : "");
    return Promise.race([c.closed, frozen]);
  };
  const alone = (): unknown => go(c); // without a lock; at the server the newest link wins
  if (locks)
    locks.request(`godwit ${hash(saved)}`, { ifAvailable: true }, go).catch(alone); // this page may not use locks
  else alone();
}

/** Ends a Conn, but not its session. */
function leave(c: AnyConn): void {
  c.carrier?.close();
  c.carrier = null;
  c.unheard.fill(null); // the next page gets these messages
  c.session.mux.outbox.abandon(); // this page will not know their fate
  c.session.finish(CloseCode.Normal, "suspended", false);
}

/** Saves the session of a page that goes, or ends the session if that is not possible. */
function hide(c: AnyConn, key: string): void {
  const saved = save(c);
  try {
    if (!saved || saved.length > maxSaved) throw saved;
    sessionStorage.setItem(key, saved);
    leave(c);
  } catch {
    c.endNow();
  }
}

/** Returns by how much the wall clock is ahead of the clock of the page, which starts again with every page. */
const shift = (): number => Date.now() - performance.now();

function save({ session, unheard, table }: AnyConn): string {
  const saved = snapshotSession(session, shift());
  if (!saved) return "";
  const waiting = unheard.map((inbox, i) => (inbox && isReliable(table[i]!.mode) ? snapshotInbox(inbox) : []));
  return JSON.stringify([version, Date.now(), saved, waiting] satisfies Saved, encode);
}

/** Makes a new Conn continue a session. */
function restore(c: AnyConn, json: string): void {
  const { session } = c;
  const t = performance.now();
  if (session.phase) return; // the attempt has ended, or the session is restored already
  try {
    const [form, at, saved, unheard] = JSON.parse(json, decode) as Saved;
    const age = Date.now() - at;
    must(form === version && age >= 0 && age <= saved[0]);
    restoreSession(session, t, saved, shift());
    unheard.forEach((messages, i) => messages && restoreInbox(c.unheard[i]!, messages));
    c.continued = true;
    c.addEventListener(
      "resumed",
      () => {
        c.opening.resolve();
        for (const [id, [name, b]] of session.serving) void c.serve(id, name, b);
      },
      { once: true },
    );
    session.interrupt(t - age); // the Conn looks for a link now
    c.flushSoon(); // sets the timer
  } catch (cause) {
    c.giveUp(new ConnectError("resume", "the saved session has ended, or another page has it", { cause }));
  }
}

/** For JSON.stringify: replaces bytes by an object with base64. */
function encode(_: string, v: unknown): unknown {
  if (!(v instanceof Uint8Array)) return v;
  let b = "";
  for (let i = 0; i < v.length; i += 4096) b += String.fromCharCode(...v.subarray(i, i + 4096));
  return { b: btoa(b) };
}

/** For JSON.parse: the reverse of encode. */
const decode = (_: string, v: { b?: string } | null): unknown =>
  typeof v?.b === "string" ? Uint8Array.from(atob(v.b), (c) => c.charCodeAt(0)) : v;
