import { maxPacket } from "./packet";

export const bandwidthRounds = 10;
export const minRound = 50;
export const minRTTAge = 10_000;
export const shortWait = 10; // what packets may wait, with what a packet takes
export const longWait = 40;
export const maxPacketTime = 40;
export const maxChance = 200;
export const calmRounds = 15;

// The share of the rate up to which copies may fill packets: on a narrow link they must not stand in the way of what
// is new.
export const spareShare = 0.85;

const max = Math.max;
const min = Math.min;

/** Congestion says how much may be sent, and when. */
export interface Congestion {
  /** Bytes per second that may be sent. */
  rate(): number;
  /** How many bytes may be under way, given the round trip before any was measured and the share of losses. */
  window(rtt: number, loss: number): number;
  /** Takes a round trip. */
  sample(t: number, d: number): void;
  /** Takes what one ack block told: largest is the newest packet in it, loss the share of packets lost of late. */
  acked(t: number, largest: number, next: number, bytes: number, loss: number): void;
  /** Whether the pacer lets a packet leave. */
  mayLeave(t: number): boolean;
  /** Takes note that more could have been sent. */
  limit(): void;
  /** Takes note that n bytes have left. */
  sent(n: number): void;
  /** When the next packet may leave. */
  ready(): number;
  /** Bytes of copies that may ride along. */
  spare(): number;
}

/**
 * Decides how many bytes per second may be sent, from floor to ceiling. It watches two things: whether packets begin to
 * wait in a queue on the way, and how fast bytes arrive at the other end. Loss alone means nothing: a radio link loses
 * at random.
 *
 * It works in rounds. A round ends when a packet that was sent after its beginning is acknowledged, and no sooner
 * than minRound. At the start the rate doubles each round, until packets wait or doubling no longer helps. After
 * that it grows slowly while it is used up. When packets wait, less than what arrives is sent until the queue should
 * be empty, then a little less than what arrived before.
 *
 * Packets wait when a few round trips on end are longer than the shortest of the last ten seconds: jitter stretches
 * single packets, a queue all of them. What one round trip usually differs from the next by is allowed for. And if
 * packets still wait after the queue should have been drained, there was none.
 *
 * And it spreads packets over time: no more than two leave at once, or what a millisecond carries if that is more.
 */
export function congestion(start: number, rate: number, floor: number, ceiling: number): Congestion {
  let startup = true;
  let minRTT = 0; // shortest of late, 0 before the first sample
  let minAt = 0;
  let probing = 0; // until then the rate is halved to see the path empty; 0 otherwise
  let delivered = 0; // bytes acknowledged, all told
  const recent: number[] = Array(bandwidthRounds).fill(0); // what arrived in the last rounds, bytes per second
  let rounds = 0;
  let jitter = 0; // what one round trip differs from the next by, smoothed
  let last = 0; // the last two round trips
  let lastButOne = 0;
  let stalled = 0; // rounds on end of the start in which doubling did not help
  let calm = 0; // rounds of growth on end
  let resume = 0; // the rate to go on with when the queue is drained; 0 otherwise
  let drainUntil = 0;
  let before = 0; // the rate before that; 0 if the start ended so, which doubled too often
  let waited = 0; // what packets waited then
  let chance = 0; // what they wait though no queue of ours is there
  let slowRate = 0; // smoothed over rounds that were limited
  let slowDelivery = 0;
  let refRate = 0; // what they were when delivery last followed
  let refDelivery = 0;

  // What this round has shown so far.
  let roundEnd = 0; // the first packet of the next one
  let roundAt = 0; // its beginning, and 0 before the first
  let roundDelivered = 0; // at its beginning
  let roundSent = 0; // bytes
  let limited = false; // more could have been sent
  let shortest = Infinity;
  let steady = 0; // the longest that three round trips on end exceeded

  // The pacer.
  let tokens = maxPacket; // bytes; a packet may leave while there are any
  let spare = maxPacket; // bytes of copies
  let refilled = start;

  const set = (r: number): number => (rate = min(max(r, floor), ceiling));
  set(rate);

  /** The rate that packets leave at now. */
  const pace = (): number => (probing ? rate / 2 : rate);

  /**
   * How much longer than allowed packets wait in this round. Allowed is a little, and what a packet of ours takes on the
   * link itself or what is chance. A sender that does not use its rate up fills no queue, unless the link is narrower
   * than that.
   */
  function excess(): number {
    const packet = (maxPacket / rate) * 1000;
    const byChance = min(max(4 * jitter, min(chance, 10 * jitter)), maxChance);
    const allowed = minRTT + shortWait + max(min(packet, maxPacketTime), byChance);
    const e = steady - allowed;
    return limited ? e : min(e, shortest - allowed - minRTT / 2 - longWait);
  }

  /** Ends a round in which arrivals bytes per second arrived. */
  function judge(t: number, arrivals: number, loss: number): void {
    const best = max(...recent);
    if (limited || arrivals > best) recent[rounds++ % bandwidthRounds] = arrivals;
    refresh(t);
    const e = excess();
    // Jitter moves what arrives from round to round, too; and some of it was lost at random.
    const arrived = min(rate, max(floor, (e <= longWait ? max(arrivals, best) : arrivals) / (1 - min(loss, 0.5))));
    if (probing) return;
    if (resume) {
      if (roundAt < drainUntil) return; // the round may still have seen the queue
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
   * Raises the rate by 2 % and a little more, so that of two senders the slower one gains. After a while in which no
   * queue came of it the steps get larger.
   */
  function grow(): void {
    calm++;
    chance -= chance / 64;
    set(rate * (1.02 + 0.01 * min(max(calm - calmRounds, 0), 6)) + min(600, rate / 50));
  }

  /** Doubles the rate at the start while that helps. */
  function double(arrivals: number, best: number, arrived: number): void {
    if (!limited) return;
    stalled = arrivals < best * 1.25 ? stalled + 1 : 0;
    startup = stalled < 3 && rate < ceiling;
    set(startup ? min(2 * rate, max(rate, 3 * arrived)) : arrived);
  }

  /** Sends a share of what arrives until the queue should be empty, and then goes on with another. */
  function drain(t: number, arrived: number, share: number, then: number): void {
    before = rate;
    waited = steady - minRTT;
    drainUntil = t + minRTT + minRound + waited / (1 - share);
    resume = max(then * arrived, floor);
    set(share * arrived);
    calm = 0;
  }

  /**
   * Whether the queue grew while it was being drained: the link may have become so narrow that only the beginning of
   * the queue was seen. A round must end then, though none of its packets will have arrived for long. Near the floor
   * there is nothing to gain.
   */
  const worse = (): boolean => before > 8 * floor && steady - minRTT > 2 * waited + 4 * longWait;

  /**
   * Asks, when the queue should be empty, whether there was any. If packets wait as before though little was sent, the
   * rate goes on as it was, and such a wait is allowed for. It must be one that the jitter explains, and the jitter
   * more than our own packets make: or two senders would take each other's queue for chance.
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
   * Whether what arrives still grows with what is sent. A policer that drops what is too much, without a queue,
   * shows itself here only.
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
      slowDelivery = 0.7 * min(slowDelivery, refDelivery); // so much should arrive then
      return false;
    }
    if (grown || slowRate < refRate) {
      refRate = slowRate;
      refDelivery = slowDelivery;
    }
    return true;
  }

  /**
   * Sees to it that the shortest round trip is not an old one: the path may have changed. For two round trips little
   * is sent, so that a queue of our own does not pass for the path.
   */
  function refresh(t: number): void {
    let fresh = 0;
    if (probing) {
      if (t < probing) return;
      probing = 0;
      fresh = min(shortest, 10_000);
    } else if (minRTT && t - minAt > minRTTAge) {
      if (limited) probing = t + max(2 * minRTT, 200);
      else if (steady) fresh = shortest;
    }
    if (!fresh) return;
    minRTT = fresh;
    minAt = t;
  }

  return {
    rate: () => rate,

    // What fills the path twice, and a few packets more. Where acknowledgements are lost, too, as many as make an
    // answer likely: or a sender whose window is full of packets that have long arrived waits for one timeout after
    // the other.
    window: (rtt, loss) => (rate * (2 * (minRTT || rtt) + 30)) / 1000 + (3 + 80 * max(0, min(loss, 0.5) - 0.3)) * maxPacket,

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
        const early = limited && d > minRound / 2 && (resume ? worse() : excess() > 0);
        if (!early && (largest < roundEnd || d < minRound)) return;
        // To wait for the pacer now and then is not to use up the rate.
        limited &&= roundSent > (0.7 * pace() * d) / 1000;
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
