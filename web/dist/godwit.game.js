// @godwit/client. MIT licence. https://github.com/godwit-rtc/godwit

// src/clock.ts
var clockSamples = 32;
var farOff = 250;
var settling = 500;
var maxDue = 8;
var firstSpare = 1.5;
var maxTick = 2 ** 32 - 1;
var meanOf = 16;
function between(v, low, high) {
  return Math.min(Math.max(v, low), high);
}
var Clock = class {
  // ticks that due returns at once, as a mean; each call is a message
  constructor({ tick = 50, slew = 0.05, maxLead = 500 } = {}) {
    /** How far inputs are ahead of the server's time, in ticks. */
    this.lead = 0;
    this.start = 0;
    // local time of the first message; the times below are ticks since then
    this.at = 0;
    // when time and lead were advanced last
    this.time = 0;
    // the server's time then
    this.spare = firstSpare;
    // the part of the wanted lead that is not half a round trip
    this.samples = [];
    // the last ones; half is 0 if no round trip is known
    this.offset = 0;
    // the server's time less the local one, by the samples
    this.half = 0;
    // half a round trip, by the samples
    this.made = 0;
    // last tick that due has returned
    this.each = 1;
    this.tick = Math.max(tick, 1);
    this.slew = between(slew, 0, 0.5);
    this.most = Math.max(maxLead / this.tick, 0);
  }
  /**
   * Notes that a message with the server's tick has arrived, which the server sent right after the tick. rtt is the round
   * trip of the session in ms, conn.stats().rtt, or 0 if it is not known yet. Values that are no numbers have no effect.
   */
  hear(t, tick, rtt) {
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
  early(ticks) {
    const less = 2 * this.each - 1 - ticks;
    const change = this.wanted() - this.lead;
    if (less > 0 ? change > 0.5 : less < 0 && change < -0.5) return;
    this.spare = between(this.spare + (less < 0 ? less / 10 : less || 0), 0, this.most);
  }
  /** Returns the lead that the clock slews to. */
  wanted() {
    return Math.min(this.half + this.spare, this.most);
  }
  /** Moves the clock to a time and returns that time in local ticks. A time before the last one changes nothing. */
  advance(t) {
    t = (t - this.start) / this.tick;
    const d = t - this.at;
    if (!(d > 0)) return t;
    this.at = t;
    const soon = Math.min(1, d * this.tick / settling);
    const off = t + this.offset + this.half - this.time - d;
    const far = Math.abs(off) > farOff / this.tick;
    const most = this.slew * d;
    const went = d + between(off * soon, far ? -0.9 * d : -most, far ? d : most);
    this.time += went;
    this.lead += between((this.wanted() - this.lead) * soon, -Math.min(most, went), most);
    return t;
  }
  /** Returns the server's time in ticks, and 0 before the first message. */
  now(t) {
    if (this.samples.length) this.advance(t);
    return this.time;
  }
  /** Returns the time for which an input that is sent now counts at the server: now and the lead, in ticks. */
  ahead(t) {
    return this.now(t) + this.lead;
  }
  /**
   * Returns the ticks for which inputs are to be made now: those up to ahead that it has not returned before, but at most the
   * last 8, as after a pause of the page. Use each of them: the next call does not return them again.
   */
  due(t) {
    const last = Math.min(Math.floor(this.ahead(t)), maxTick);
    const ticks = [];
    for (let n2 = Math.max(this.made + 1, last - maxDue + 1, 0); n2 <= last; n2++) ticks.push(n2);
    this.made = Math.max(this.made, last);
    const n = ticks.length;
    if (n && n < maxDue) this.each += (n - this.each) / meanOf;
    return ticks;
  }
};

// src/prediction.ts
var doneShare = 0.01;
var Prediction = class {
  constructor(clock, config) {
    /** The tick of the newest input or, if that is later, of the server's state. */
    this.tick = 0;
    this.pending = [];
    // the inputs of the last ticks up to tick
    this.acked = -1;
    // during a correction, what was shown before goes on, too, and has a falling share
    this.since = 0;
    this.clock = clock;
    const { jump = () => false, halfLife = 50, maxPending = 0 } = config;
    this.config = { ...config, jump, halfLife, maxPending: maxPending > 0 ? maxPending : 128 };
  }
  /**
   * Applies the input of a tick, one of those that clock.due returns. If ticks are missing before it, the inputs before them
   * are forgotten. A tick that is not after this.tick is ignored.
   */
  input(tick, input) {
    const { pending } = this;
    if (!(tick > this.tick)) return;
    if (tick !== this.tick + 1) pending.length = 0;
    if (pending.push(input) > this.config.maxPending) pending.shift();
    this.tick = tick;
    if (this.states) this.states = this.step(this.states, input);
    if (this.old) this.old = this.step(this.old, input);
  }
  step([, after], input) {
    return [after, this.config.step(after, input)];
  }
  /**
   * Returns the newest inputs that no state of the server has yet, at most n, the newest first: what a message has for the
   * server, with the tick of the newest, this.tick.
   */
  recent(n) {
    return n > 0 ? this.pending.slice(-n).reverse() : [];
  }
  /** Takes the server's state after a tick. An older state than one before is ignored. */
  correct(t, tick, s) {
    if (!(tick > this.acked)) return;
    const { pending, states, old } = this;
    const { mix, jump } = this.config;
    const share = this.share(t);
    let shown = states && old && share ? [mix(states[0], old[0], share), mix(states[1], old[1], share)] : states;
    if (shown && tick > this.tick) {
      const at = mix(shown[0], shown[1], this.part(t));
      shown = [at, at];
    }
    pending.splice(0, pending.length - between(this.tick - tick, 0, pending.length));
    this.acked = tick;
    this.tick = Math.max(this.tick, tick);
    const right = pending.reduce((pair, input) => this.step(pair, input), [s, s]);
    this.states = right;
    this.old = shown && !jump(shown[1], right[1]) ? shown : void 0;
    this.since = t;
  }
  /** Returns the share that the state before the correction still has. */
  share(t) {
    const { halfLife } = this.config;
    const share = this.old && halfLife > 0 ? 2 ** (-Math.max(t - this.since, 0) / halfLife) : 0;
    if (share >= doneShare) return share;
    this.old = void 0;
    return 0;
  }
  /** Returns how much of the way from the state before the newest input to the one after it is done. */
  part(t) {
    return between(this.clock.ahead(t) - this.tick, 0, 1);
  }
  /**
   * Returns the state to show, and undefined before the first state of the server. It is between the states before and after
   * the newest input, so an input has its whole effect after one tick.
   */
  at(t) {
    const { states } = this;
    if (!states) return;
    const { mix } = this.config;
    const part = this.part(t);
    const share = this.share(t);
    const s = mix(states[0], states[1], part);
    return this.old ? mix(s, mix(this.old[0], this.old[1], part), share) : s;
  }
};

// src/snapshots.ts
var maxSnapshots = 64;
var mostTicks = 56;
var delaySamples = 40;
var lateStates = 2;
var firstSamples = 3;
var Snapshots = class {
  // for each of the last states, the delay with which it had come in time
  /** clock must hear each message before the Snapshots gets the message's state. */
  constructor(clock, { minDelay = 20, maxDelay = 500, beyond = 100 } = {}) {
    /** By how many ticks the states are shown late. */
    this.delay = 0;
    /** The time that at has shown last, in ticks: for lag compensation, a client sends it with an input that aims. */
    this.shown = 0;
    this.time = 0;
    // the delay to which at slews
    this.begun = false;
    // delay is set
    this.states = [];
    // by tick
    this.needs = [];
    this.clock = clock;
    this.low = this.wanted = between(minDelay / clock.tick, 0, mostTicks);
    this.high = between(maxDelay / clock.tick, this.low, mostTicks);
    this.beyond = Math.max(beyond / clock.tick, 0);
  }
  /**
   * Adds the state after a tick, which has arrived now. States may come in any order; one that is there already, or is older
   * than all 64 that are kept, is ignored, and so is a tick that is no number.
   */
  add(t, tick, value) {
    if (!Number.isFinite(tick)) return;
    const { states } = this;
    let i = states.length;
    while (i && states[i - 1].tick >= tick) i--;
    if (states[i]?.tick === tick) return;
    if (i && i === states.length) this.note(this.clock.now(t) - states[i - 1].tick);
    states.splice(i, 0, { tick, value });
    if (states.length > maxSnapshots) states.shift();
  }
  /**
   * Notes the delay with which a state had come in time: it is needed as soon as the time that is shown is after the state
   * before it.
   */
  note(need) {
    const n = this.needs.push(need);
    const sorted = [...this.needs].sort((a, b) => a - b);
    if (n > delaySamples) sorted.splice(sorted.indexOf(this.needs.shift()), 1);
    const of = sorted.length;
    this.wanted = between(sorted[of - 1 - Math.floor(of * lateStates / delaySamples)], this.low, this.high);
  }
  /**
   * Returns the states before and after the time to show, and undefined without any state. The states are the same and the
   * share is 0 until four have come, from which the delay is computed. Beyond the newest state the share grows for the time beyond.
   */
  at(t) {
    const { states } = this;
    const n = states.length;
    if (!n) return;
    const time = this.clock.now(t);
    const most = this.clock.slew * Math.max(time - this.time, 0);
    this.delay = this.begun ? this.delay + between(this.wanted - this.delay, -most, most) : this.wanted;
    this.begun ||= this.needs.length >= firstSamples;
    this.time = time;
    this.shown = Math.min(time - this.delay, states[n - 1].tick + this.beyond);
    let i = n - 1;
    while (i > 1 && states[i - 1].tick > this.shown) i--;
    const b = states[i];
    const [first] = states;
    const a = states[i - 1] ?? first;
    if (!this.begun || n === 1 || this.shown < a.tick) {
      this.shown = first.tick;
      return { from: first.value, to: first.value, share: 0 };
    }
    return { from: a.value, to: b.value, share: (this.shown - a.tick) / (b.tick - a.tick) };
  }
};
export {
  Clock,
  Prediction,
  Snapshots
};
