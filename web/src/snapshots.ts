// The states of others between two of the server's. The same as game/snapshots.go.
import { between, type Clock } from "./clock";

/** Limits of a Snapshots. Times are in ms. */
export interface SnapshotsConfig {
  /** How late the states are shown at least, and at most. 20 and 500 by default; the limit of both is 56 ticks. */
  minDelay?: number;
  maxDelay?: number;
  /** For how long after the newest state things go on straight. 100 by default. */
  beyond?: number;
}

/**
 * What to show: share is how much of the way from the one state to the other is done, from 0 to 1, or more than 1 if the next
 * state is missing.
 */
export interface Between<S> {
  from: S;
  to: S;
  share: number;
}

const maxSnapshots = 64; // states that are kept
const mostTicks = 56; // by which they are shown late at most
const delaySamples = 40; // states from which the delay is computed
const lateStates = 2; // of these, how many may be too late
const firstSamples = 3; // states from which the first delay is computed; until then the first state is shown

/**
 * The last states that a client got from the server. It shows them a little late, so that the state before and the state
 * after the time that it shows are there. The delay adapts: it is such that of the last 40 states at most two came too late.
 * It depends on jitter and losses, not on the length of the path, and changes slowly, so that nothing that is shown jumps.
 */
export class Snapshots<S> {
  /** By how many ticks the states are shown late. */
  delay = 0;
  /** The time that at has shown last, in ticks: for lag compensation, a client sends it with an input that aims. */
  shown = 0;
  private readonly clock: Clock;
  private readonly low: number; // limits of the delay, in ticks
  private readonly high: number;
  private readonly beyond: number;
  private time = 0; // the server's time of the last call of at
  private wanted: number; // the delay to which at slews
  private begun = false; // delay is set
  private readonly states: { tick: number; value: S }[] = []; // by tick
  private readonly needs: number[] = []; // for each of the last states, the delay with which it had come in time

  /** clock must hear each message before the Snapshots gets the message's state. */
  constructor(clock: Clock, { minDelay = 20, maxDelay = 500, beyond = 100 }: SnapshotsConfig = {}) {
    this.clock = clock;
    this.low = this.wanted = between(minDelay / clock.tick, 0, mostTicks);
    this.high = between(maxDelay / clock.tick, this.low, mostTicks);
    this.beyond = Math.max(beyond / clock.tick, 0);
  }

  /**
   * Adds the state after a tick, which has arrived now. States may come in any order; one that is there already, or is older
   * than all 64 that are kept, is ignored, and so is a tick that is no number.
   */
  add(t: number, tick: number, value: S): void {
    if (!Number.isFinite(tick)) return;
    const { states } = this;
    let i = states.length;
    while (i && states[i - 1]!.tick >= tick) i--;
    if (states[i]?.tick === tick) return;
    if (i && i === states.length) this.note(this.clock.now(t) - states[i - 1]!.tick);
    states.splice(i, 0, { tick, value });
    if (states.length > maxSnapshots) states.shift();
  }

  /**
   * Notes the delay with which a state had come in time: it is needed as soon as the time that is shown is after the state
   * before it.
   */
  private note(need: number): void {
    const n = this.needs.push(need);
    const sorted = [...this.needs].sort((a, b) => a - b);
    if (n > delaySamples) sorted.splice(sorted.indexOf(this.needs.shift()!), 1);
    const of = sorted.length;
    this.wanted = between(sorted[of - 1 - Math.floor((of * lateStates) / delaySamples)]!, this.low, this.high);
  }

  /**
   * Returns the states before and after the time to show, and undefined without any state. The states are the same and the
   * share is 0 until four have come, from which the delay is computed. Beyond the newest state the share grows for the time beyond.
   */
  at(t: number): Between<S> | undefined {
    const { states } = this;
    const n = states.length;
    if (!n) return;
    const time = this.clock.now(t);
    const most = this.clock.slew * Math.max(time - this.time, 0);
    this.delay = this.begun ? this.delay + between(this.wanted - this.delay, -most, most) : this.wanted;
    this.begun ||= this.needs.length >= firstSamples;
    this.time = time;
    this.shown = Math.min(time - this.delay, states[n - 1]!.tick + this.beyond);
    let i = n - 1;
    while (i > 1 && states[i - 1]!.tick > this.shown) i--;
    const b = states[i]!;
    const [first] = states;
    const a = states[i - 1] ?? first!;
    if (!this.begun || n === 1 || this.shown < a.tick) {
      this.shown = first!.tick;
      return { from: first!.value, to: first!.value, share: 0 };
    }
    return { from: a.value, to: b.value, share: (this.shown - a.tick) / (b.tick - a.tick) };
  }
}
