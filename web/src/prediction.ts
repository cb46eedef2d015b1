// The own player without waiting for the server. The same as game/prediction.go.
import { between, type Clock } from "./clock";

/** How the own player moves. S is the player's state, and I an input. */
export interface PredictionConfig<S, I> {
  /** Returns the state after one tick with an input. It must do what the server does, and change nothing, not even s. */
  step: (s: S, input: I) => S;
  /** Returns the state between a and b: a for the share 0, b for 1. */
  mix: (a: S, b: S, share: number) => S;
  /** Reports whether a correction is so large that it is shown at once, such as a new place after a death. Never by default. */
  jump?: (shown: S, right: S) => boolean;
  /** Time in which a correction is half done, in ms. 50 by default. With 0 or less each correction is shown at once. */
  halfLife?: number;
  /**
   * How many inputs may wait for a state of the server that has them. The oldest beyond that is forgotten. 128 by default, and
   * with 0 or less.
   */
  maxPending?: number;
}

type Pair<S> = [before: S, after: S]; // the states before and after a tick

const doneShare = 0.01; // share of a correction that may be missing when it counts as done

/**
 * Shows the own player without waiting for the server: it applies each input at once. When a state of the server arrives, it
 * applies the inputs that the state does not have yet to it. If the result is another one than before, what is shown goes
 * there smoothly.
 */
export class Prediction<S, I> {
  /** The tick of the newest input or, if that is later, of the server's state. */
  tick = 0;
  private readonly clock: Clock;
  private readonly config: Required<PredictionConfig<S, I>>;
  private readonly pending: I[] = []; // the inputs of the last ticks up to tick
  private acked = -1; // tick of the server's state
  private states: Pair<S> | undefined; // the predicted states; undefined before the server's first
  private old: Pair<S> | undefined; // during a correction, what was shown before goes on, too, and has a falling share
  private since = 0;

  constructor(clock: Clock, config: PredictionConfig<S, I>) {
    this.clock = clock;
    const { jump = () => false, halfLife = 50, maxPending = 0 } = config;
    this.config = { ...config, jump, halfLife, maxPending: maxPending > 0 ? maxPending : 128 };
  }

  /**
   * Applies the input of a tick, one of those that clock.due returns. If ticks are missing before it, the inputs before them
   * are forgotten. A tick that is not after this.tick is ignored.
   */
  input(tick: number, input: I): void {
    const { pending } = this;
    if (!(tick > this.tick)) return;
    if (tick !== this.tick + 1) pending.length = 0;
    if (pending.push(input) > this.config.maxPending) pending.shift();
    this.tick = tick;
    if (this.states) this.states = this.step(this.states, input);
    if (this.old) this.old = this.step(this.old, input);
  }

  private step([, after]: Pair<S>, input: I): Pair<S> {
    return [after, this.config.step(after, input)];
  }

  /**
   * Returns the newest inputs that no state of the server has yet, at most n, the newest first: what a message has for the
   * server, with the tick of the newest, this.tick.
   */
  recent(n: number): I[] {
    return n > 0 ? this.pending.slice(-n).reverse() : [];
  }

  /** Takes the server's state after a tick. An older state than one before is ignored. */
  correct(t: number, tick: number, s: S): void {
    if (!(tick > this.acked)) return;
    const { pending, states, old } = this;
    const { mix, jump } = this.config;
    const share = this.share(t);
    let shown: Pair<S> | undefined =
      states && old && share ? [mix(states[0], old[0], share), mix(states[1], old[1], share)] : states;
    if (shown && tick > this.tick) {
      const at = mix(shown[0], shown[1], this.part(t));
      shown = [at, at]; // the inputs end before this tick: what is shown goes on from where it is
    }
    pending.splice(0, pending.length - between(this.tick - tick, 0, pending.length));
    this.acked = tick;
    this.tick = Math.max(this.tick, tick);
    const right = pending.reduce((pair, input) => this.step(pair, input), [s, s] as Pair<S>);
    this.states = right;
    this.old = shown && !jump(shown[1], right[1]) ? shown : undefined;
    this.since = t;
  }

  /** Returns the share that the state before the correction still has. */
  private share(t: number): number {
    const { halfLife } = this.config;
    const share = this.old && halfLife > 0 ? 2 ** (-Math.max(t - this.since, 0) / halfLife) : 0;
    if (share >= doneShare) return share;
    this.old = undefined;
    return 0;
  }

  /** Returns how much of the way from the state before the newest input to the one after it is done. */
  private part(t: number): number {
    return between(this.clock.ahead(t) - this.tick, 0, 1);
  }

  /**
   * Returns the state to show, and undefined before the first state of the server. It is between the states before and after
   * the newest input, so an input has its whole effect after one tick.
   */
  at(t: number): S | undefined {
    const { states } = this;
    if (!states) return;
    const { mix } = this.config;
    const part = this.part(t);
    const share = this.share(t);
    const s = mix(states[0], states[1], part);
    return this.old ? mix(s, mix(this.old[0], this.old[1], part), share) : s;
  }
}
