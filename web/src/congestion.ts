import { maxPacket } from "./packet";

export const bandwidthRounds = 10;
export const minRound = 50;
export const minRTTAge = 10_000;
export const shortWait = 10; // part of the allowance
export const longWait = 40;
export const maxPacketTime = 40;
export const maxChance = 200;
export const calmRounds = 15;

// The share of the rate up to which packets may be filled with copies: on a narrow link copies must not delay new
// messages.
export const spareShare = 0.85;

export const leastWindow = 8 << 10;
export const queueTime = 100;

const max = Math.max;
const min = Math.min;

/** Congestion says how much may be sent, and when. */
export interface Congestion {
  /** Bytes per second that may be sent. */
  rate(): number;
  /**
   * Returns how many bytes may be in flight. rtt is used until a round trip is measured; loss is the share
   * of losses.
   */
  window(rtt: number, loss: number): number;
  /** Adds a measured round trip. */
  sample(t: number, d: number): void;
  /**
   * Adds the result of one ack block: largest is its newest packet, bytes what it acknowledges, loss the present share
   * of lost packets.
   */
  acked(t: number, largest: number, next: number, bytes: number, loss: number): void;
  /** Returns whether the pacer lets a packet leave. */
  mayLeave(t: number): boolean;
  /** Records that more could have been sent. */
  limit(): void;
  /** Records that n bytes were sent. */
  sent(n: number): void;
  /** Returns when the next packet may leave. */
  ready(): number;
  /** Returns how many bytes of copies a packet may carry. */
  spare(): number;
}

/**
 * Decides how many bytes per second may be sent, from floor to ceiling. It measures two things: whether packets wait in
 * a queue of the network, and at what rate bytes arrive at the peer. It ignores loss as such, because a radio link
 * loses packets at random.
 *
 * It works in rounds. A round ends when a packet that was sent after its beginning is acknowledged, but not before
 * minRound. At the start the rate doubles in each round, until packets wait or doubling has no effect. Then the rate
 * grows slowly, as long as the sender uses all of it. When packets wait, the sender sends less than what arrives until
 * the queue should be empty, and then a little less than what arrived before.
 *
 * Packets wait if three round trips in a row are longer than the shortest one of the last ten seconds by more than an
 * allowance. Jitter makes single round trips longer, a queue makes all of them longer. The allowance grows with the
 * usual difference between one round trip and the next. If packets still wait after the queue should be empty, there
 * was no queue of this sender.
 *
 * On a reliable link, such as a WebSocket, a lost packet of the network makes round trips longer too, so they say
 * nothing about a queue. There the window limits what is on its way, to leastWindow or what arrives in a round trip and
 * queueTime, and the rate is a little more than what arrives.
 *
 * It also spreads packets over time: at most two packets leave at once, or the bytes of one millisecond if that is
 * more.
 */
export function congestion(start: number, rate: number, floor: number, ceiling: number, reliable = false): Congestion {
  let startup = true;
  let minRTT = 0; // shortest recent round trip; 0 before the first sample
  let minAt = 0;
  let probing = 0; // until then the rate is halved, to measure the path without a queue; 0 otherwise
  let delivered = 0; // bytes acknowledged so far
  const recent: number[] = Array(bandwidthRounds).fill(0); // delivery rates of the last rounds, bytes per second
  let rounds = 0;
  let usual = 0; // the second highest of recent: the highest may be of bytes that a lost packet of the network held back
  let jitter = 0; // difference between one round trip and the next, smoothed
  let last = 0; // the last two round trips
  let lastButOne = 0;
  let stalled = 0; // rounds of the start in a row in which doubling had no effect
  let calm = 0; // rounds of growth in a row
  let resume = 0; // rate to continue with when the queue is drained; 0 if none is
  let drainUntil = 0;
  let before = 0; // rate to restore if there was no queue; 0 after the start, which overshoots
  let waited = 0; // how long packets waited when draining began
  let chance = 0; // how long packets wait without a queue of this sender
  let slowRate = 0; // rate and delivery rate, smoothed over limited rounds
  let slowDelivery = 0;
  let refRate = 0; // their values when the delivery rate last grew with the rate
  let refDelivery = 0;

  // What this round has measured so far.
  let roundEnd = 0; // first packet of the next round
  let roundAt = 0; // when the round began; 0 before the first
  let roundDelivered = 0; // delivered when the round began
  let roundSent = 0; // bytes
  let limited = false; // more could have been sent
  let shortest = Infinity;
  let steady = 0; // the largest value that three round trips in a row reached or exceeded

  // The pacer.
  let tokens = maxPacket; // bytes; a packet may leave while there are any
  let spare = maxPacket; // bytes of copies
  let refilled = start;

  const set = (r: number): number => (rate = min(max(r, floor), ceiling));
  set(rate);

  /**
   * Returns the rate at which packets leave now. On a reliable link half of what arrives empties the queue. A small
   * window would empty it sooner, but then nothing would leave meanwhile, and new states would become old.
   */
  const pace = (): number => (probing ? max(reliable ? usual : rate, floor) / 2 : rate);

  /**
   * Returns how much longer than allowed packets wait in this round. The allowance is shortWait, and the largest of the
   * time that a packet takes on the link, the jitter, and chance. A sender that does not use its whole rate causes no
   * queue, unless the link carries even less; so then a wait must be longer.
   */
  function excess(): number {
    const packet = (maxPacket / rate) * 1000;
    const byChance = min(max(4 * jitter, min(chance, 10 * jitter)), maxChance);
    const allowed = minRTT + shortWait + max(min(packet, maxPacketTime), byChance);
    const e = steady - allowed;
    return limited ? e : min(e, shortest - allowed - minRTT / 2 - longWait);
  }

  /** Ends a round in which arrivals bytes per second have arrived at the peer. */
  function judge(t: number, arrivals: number, loss: number): void {
    const best = max(...recent);
    if (limited || arrivals > best) recent[rounds++ % bandwidthRounds] = arrivals;
    refresh(t);
    if (reliable) {
      usual = [...recent].sort((a, b) => b - a)[1]!;
      if (limited) set(1.25 * max(arrivals, best)); // the window limits the queue; the rate only follows
      return;
    }
    const e = excess();
    // Because of jitter the bytes of one round may arrive in the next; and some bytes were lost at random.
    const arrived = min(rate, max(floor, (e <= longWait ? max(arrivals, best) : arrivals) / (1 - min(loss, 0.5))));
    if (probing) return;
    if (resume) {
      if (roundAt < drainUntil) return; // the round may have begun before the queue was empty
      learn();
      set(resume);
      resume = 0;
    } else if (startup && e > 0) {
      startup = false;
      drain(t, arrived, 0.5, 0.85);
      before = 0;
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

  /**
   * Raises the rate by 2 % and a small amount that helps the slower of two senders more than the faster. After
   * calmRounds rounds of growth the steps become larger.
   */
  function grow(): void {
    calm++;
    chance -= chance / 64;
    set(rate * (1.02 + 0.01 * min(max(calm - calmRounds, 0), 6)) + min(600, rate / 50));
  }

  /** Doubles the rate at the start, or ends the start if doubling has no effect any more. */
  function double(arrivals: number, best: number, arrived: number): void {
    if (!limited) return;
    stalled = arrivals < best * 1.25 ? stalled + 1 : 0;
    startup = stalled < 3 && rate < ceiling;
    set(startup ? min(2 * rate, max(rate, 3 * arrived)) : arrived);
  }

  /**
   * Sets the rate to a share of what arrives until the queue should be empty. The rate after that is then times what
   * arrives.
   */
  function drain(t: number, arrived: number, share: number, then: number): void {
    before = rate;
    waited = steady - minRTT;
    drainUntil = t + minRTT + minRound + waited / (1 - share);
    resume = max(then * arrived, floor);
    set(share * arrived);
    calm = 0;
  }

  /**
   * Returns whether the queue has grown while it was drained: the link may be so narrow that drain has seen only the
   * beginning of the queue. Then the round must end now, because none of its packets will arrive soon. Near the floor
   * this would not help.
   */
  const worse = (): boolean => before > 8 * floor && steady - minRTT > 2 * waited + 4 * longWait;

  /**
   * Decides, when the queue should be empty, whether there was a queue. If packets wait as long as before although
   * little was sent, there was none: then the rate is restored, and such a wait is allowed. The jitter must explain the
   * wait, and must be larger than the jitter that this end's packets cause: otherwise two senders would take the queue
   * of the other for chance.
   */
  function learn(): void {
    const left = steady - minRTT;
    if (left < waited / 2 || left > 2 * waited || waited > 10 * jitter || jitter < (2000 * maxPacket) / before) {
      chance /= 2;
      return;
    }
    chance = max(chance, left);
    resume = before;
  }

  /**
   * Returns whether the delivery rate still grows with the rate. Only this detects a policer that drops packets above a
   * rate, without a queue.
   */
  function follows(arrivals: number): boolean {
    if (!slowRate) {
      slowRate = refRate = rate;
      slowDelivery = refDelivery = arrivals;
    }
    slowRate += (rate - slowRate) / 8;
    slowDelivery += (arrivals - slowDelivery) / 8;
    const grown = slowRate >= 1.25 * refRate;
    if (grown && slowDelivery < 1.05 * refDelivery) {
      slowRate *= 0.7;
      slowDelivery = 0.7 * min(slowDelivery, refDelivery); // expected value at the rate that judge sets
      return false;
    }
    if (grown || slowRate < refRate) {
      refRate = slowRate;
      refDelivery = slowDelivery;
    }
    return true;
  }

  /**
   * Replaces minRTT when it is older than minRTTAge, because the path may have changed. If the sender uses its whole
   * rate, refresh halves it for two round trips first: a queue of this sender must not count as part of the path. On a
   * reliable link the queue may be as long as queueTime, and takes twice that time more.
   */
  function refresh(t: number): void {
    let fresh = 0;
    if (probing) {
      if (t < probing) return;
      probing = 0;
      fresh = min(shortest, 10_000);
    } else if (minRTT && t - minAt > minRTTAge) {
      if (limited) probing = t + (reliable ? 2 * (minRTT + queueTime) : max(2 * minRTT, 200));
      else if (steady) fresh = shortest;
    }
    if (!fresh) return;
    minRTT = fresh;
    minAt = t;
  }

  return {
    rate: () => rate,

    // Twice what the path holds, and slack: three packets, and more if many packets are lost. If acknowledgements are
    // lost, too, a sender whose window is full of packets that have arrived would otherwise wait for one timeout after
    // the other.
    window: (rtt, loss) =>
      reliable
        ? max(leastWindow, (usual * (minRTT + queueTime)) / 1000)
        : (rate * (2 * (minRTT || rtt) + 30)) / 1000 + (3 + 80 * max(0, min(loss, 0.5) - 0.3)) * maxPacket,

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

    acked(t, largest, next, bytes, loss) {
      const d = t - roundAt;
      delivered += bytes;
      if (roundAt) {
        const early = !reliable && limited && d > minRound / 2 && (resume ? worse() : excess() > 0);
        if (!early && (largest < roundEnd || d < minRound)) return;
        // A sender that only waits for the pacer sometimes does not use its whole rate.
        limited &&= reliable || roundSent > (0.7 * pace() * d) / 1000;
        judge(t, ((delivered - roundDelivered) / d) * 1000, loss);
      }
      roundEnd = next;
      roundAt = t;
      roundDelivered = delivered;
      roundSent = steady = 0;
      limited = false;
      shortest = Infinity;
    },

    mayLeave(t) {
      const more = (pace() * (t - refilled)) / 1000;
      tokens = min(max(maxPacket + 1, pace() / 1000), tokens + more);
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

    ready: () => refilled + max(0, ((1 - tokens) / pace()) * 1000),

    spare: () => max(0, spare),
  };
}
