import { type Home } from "./direct";
import { restoreSender } from "./outbox";
import { type SavedSender, snapshotSender } from "./queue";
import { restoreReceiver, type SavedReceiver, snapshotReceiver } from "./reassembly";
import { open, type Session } from "./session";
import { type FullChannel, nextChannel } from "./table";

/**
 * What snapshotSession returns: the state of a session without that of its link. It has lists and no names, because
 * names differ between minified bundles.
 */
export type SavedSession = [
  grace: number,
  id: string,
  token: string,
  moves: number,
  lastID: number,
  serving: [id: number, request: [name: string, b: Uint8Array]][],
  channels: [id: number, c: FullChannel, sender: SavedSender | undefined, receiver: SavedReceiver | undefined][],
  inbox: [channel: number, b: Uint8Array][],
  theirs: number,
  closes: boolean,
  maxQueue: number,
  opening: number[],
  ending: number[],
  home: Home,
  next: [ufrag: string, pwd: string],
];

/**
 * Returns a snapshot of a session, valid until the session changes, or undefined if the session is not open. Deadlines are
 * on the wall clock, which is shift ahead of the clock of the page.
 */
export function snapshotSession(s: Session, shift: number): SavedSession | undefined {
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
      [i, c, outbox.senders[i] && snapshotSender(outbox.senders[i], shift), receivers[i] && snapshotReceiver(receivers[i])],
    ]),
    s.inbox.map(([channel, b]) => [channel, b]),
    s.theirs,
    s.closes,
    s.maxQueue,
    s.opening,
    [...s.ending],
    s.home,
    s.next,
  ];
}

/** Restores a new Session from a snapshot. It has no link yet. Throws if the snapshot is malformed. */
export function restoreSession(s: Session, t: number, saved: SavedSession, shift: number): void {
  const { outbox, receivers } = s.mux;
  const [grace, id, token, moves, lastID, serving, channels, inbox, theirs, closes, maxQueue, opening, ending, home, next] =
    saved;
  outbox.abandon(); // drops HELLO
  for (const [i, c, sender, receiver] of channels) {
    if (i >= s.tableSize) s.addChannel(nextChannel([], c), i);
    if (sender) {
      outbox.senders[i]!.shut = opening.includes(i);
      restoreSender(outbox, t, i, sender, shift);
    } else outbox.remove(i);
    if (receiver) restoreReceiver(receivers[i]!, t, receiver);
    else s.mux.stopReceiving(i);
  }
  for (const [id, request] of serving) s.serving.set(id, request);
  s.inbox.push(...inbox);
  Object.assign(s, {
    id: BigInt(id),
    token,
    grace,
    moves,
    lastID,
    theirs,
    closes,
    maxQueue,
    opening,
    ending: new Set(ending),
    home,
    next,
    phase: open,
  });
}
