// The server's time at a client. The same as game/clock.go.

/** Settings of a Clock. Times are in ms. */
export interface ClockConfig {
  /** Time from one tick of the server to the next. 50 by default; the least is 1. */
  tick?: number;
  /**
   * Share by which the clock may be faster or slower than the local one, to correct an error of up to 250 ms. With a larger
   * error it is twice as fast or a tenth as fast. 0.05 by default; the limit is 0.5.
   */
  slew?: number;
  /** By how much inputs are ahead of the server's time at most. 500 by default. */
  maxLead?: number;
}

const clockSamples = 32; // messages from which the clock estimates
const farOff = 250; // ms of error from which the clock may be much faster or slower
const settling = 500; // ms in which the clock corrects most of a small error
const maxDue = 8; // inputs that due asks for at once
const firstSpare = 1.5; // ticks that inputs are early at first
const maxTick = 2 ** 32 - 1; // the last one that a server can have
const meanOf = 16; // messages from which the inputs of one are computed

/** Returns v, but at least low and at most high. */
export function between(v: number, low: number, high: number): number {
  return Math.min(Math.max(v, low), high);
}

/**
 * A client's estimate of the server's time, in ticks. It never jumps after the first message and never runs backwards: it is
 * a little faster or slower than the local clock until it is right. The local time, t, is in ms, such as performance.now().
 *
 * The estimate uses the fastest of the last 32 messages and half the shortest of their round trips, so jitter and queues
 * have little effect. If the path needs longer one way than the other, the estimate is wrong by half the difference; early
 * corrects this where it matters, for inputs.
 */
export class Clock {
  /** Time from one tick to the next, in ms. */
  readonly tick: number;
  /** Share by which the clock may be faster or slower. */
  readonly slew: number;
  /** How far inputs are ahead of the server's time, in ticks. */
  lead = 0;
  private readonly most: number;
  private start = 0; // local time of the first message; the times below are ticks since then
  private at = 0; // when time and lead were advanced last
  private time = 0; // the server's time then
  private spare = firstSpare; // the part of the wanted lead that is not half a round trip
  private samples: [offset: number, half: number][] = []; // the last ones; half is 0 if no round trip is known
  private offset = 0; // the server's time less the local one, by the samples
  private half = 0; // half a round trip, by the samples
  private made = 0; // last tick that due has returned
  private each = 1; // ticks that due returns at once, as a mean; each call is a message

  constructor({ tick = 50, slew = 0.05, maxLead = 500 }: ClockConfig = {}) {
    this.tick = Math.max(tick, 1);
    this.slew = between(slew, 0, 0.5);
    this.most = Math.max(maxLead / this.tick, 0);
  }

  /**
   * Notes that a message with the server's tick has arrived, which the server sent right after the tick. rtt is the round
   * trip of the session in ms, conn.stats().rtt, or 0 if it is not known yet. Values that are no numbers have no effect.
   */
  hear(t: number, tick: number, rtt: number): void {
    if (!Number.isFinite(t + tick + rtt)) return;
    const { samples } = this;
    const first = !samples.length;
    if (first) this.start = t;
    t = this.advance(t);
    samples.push([tick - t, Math.max(rtt / this.tick, 0) / 2]);
    if (samples.length > clockSamples) samples.shift();
    const halves = samples.map(([, half]) => half).filter((half) => half > 0);
    this.offset = Math.max(...samples.map(([offset]) => offset));
    this.half = halves.length ? Math.min(...halves) : 0;
    if (!first) return;
    this.time = this.offset + this.half;
    this.lead = this.wanted();
    this.made = Math.floor(this.time + this.lead);
  }

  /**
   * Notes by how many ticks the server says that this client's inputs are early at least. The lead rises at once if that is
   * so little that one message may not be lost, and falls slowly if it is more. One tick is enough if due is called in every
   * tick. A server that has no number, because no input arrived, must send none.
   */
  early(ticks: number): void {
    const less = 2 * this.each - 1 - ticks;
    const change = this.wanted() - this.lead;
    if (less > 0 ? change > 0.5 : less < 0 && change < -0.5) return; // the server has not seen the effect of the last change
    this.spare = between(this.spare + (less < 0 ? less / 10 : less || 0), 0, this.most);
  }

  /** Returns the lead that the clock slews to. */
  private wanted(): number {
    return Math.min(this.half + this.spare, this.most);
  }

  /** Moves the clock to a time and returns that time in local ticks. A time before the last one changes nothing. */
  private advance(t: number): number {
    t = (t - this.start) / this.tick;
    const d = t - this.at;
    if (!(d > 0)) return t;
    this.at = t;
    const soon = Math.min(1, (d * this.tick) / settling);
    const off = t + this.offset + this.half - this.time - d;
    const far = Math.abs(off) > farOff / this.tick;
    const most = this.slew * d;
    const went = d + between(off * soon, far ? -0.9 * d : -most, far ? d : most);
    this.time += went;
    this.lead += between((this.wanted() - this.lead) * soon, -Math.min(most, went), most); // ahead never runs backwards
    return t;
  }

  /** Returns the server's time in ticks, and 0 before the first message. */
  now(t: number): number {
    if (this.samples.length) this.advance(t);
    return this.time;
  }

  /** Returns the time for which an input that is sent now counts at the server: now and the lead, in ticks. */
  ahead(t: number): number {
    return this.now(t) + this.lead;
  }

  /**
   * Returns the ticks for which inputs are to be made now: those up to ahead that it has not returned before, but at most the
   * last 8, as after a pause of the page. Use each of them: the next call does not return them again.
   */
  due(t: number): number[] {
    const last = Math.min(Math.floor(this.ahead(t)), maxTick);
    const ticks = [];
    for (let n = Math.max(this.made + 1, last - maxDue + 1, 0); n <= last; n++) ticks.push(n);
    this.made = Math.max(this.made, last);
    const n = ticks.length;
    if (n && n < maxDue) this.each += (n - this.each) / meanOf;
    return ticks;
  }
}
