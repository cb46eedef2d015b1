// Made by build.mjs from src/.

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

/**
 * A client's estimate of the server's time, in ticks. It never jumps after the first message and never runs backwards: it is
 * a little faster or slower than the local clock until it is right. The local time, t, is in ms, such as performance.now().
 *
 * The estimate uses the fastest of the last 32 messages and half the shortest of their round trips, so jitter and queues
 * have little effect. If the path needs longer one way than the other, the estimate is wrong by half the difference; early
 * corrects this where it matters, for inputs.
 */
export declare class Clock {
    /** Time from one tick to the next, in ms. */
    readonly tick: number;
    /** Share by which the clock may be faster or slower. */
    readonly slew: number;
    /** How far inputs are ahead of the server's time, in ticks. */
    lead: number;
    constructor({ tick, slew, maxLead }?: ClockConfig);
    /**
     * Notes that a message with the server's tick has arrived, which the server sent right after the tick. rtt is the round
     * trip of the session in ms, conn.stats().rtt, or 0 if it is not known yet. Values that are no numbers have no effect.
     */
    hear(t: number, tick: number, rtt: number): void;
    /**
     * Notes by how many ticks the server says that this client's inputs are early at least. The lead rises at once if that is
     * so little that one message may not be lost, and falls slowly if it is more. One tick is enough if due is called in every
     * tick. A server that has no number, because no input arrived, must send none.
     */
    early(ticks: number): void;
    /** Returns the server's time in ticks, and 0 before the first message. */
    now(t: number): number;
    /** Returns the time for which an input that is sent now counts at the server: now and the lead, in ticks. */
    ahead(t: number): number;
    /**
     * Returns the ticks for which inputs are to be made now: those up to ahead that it has not returned before, but at most the
     * last 8, as after a pause of the page. Use each of them: the next call does not return them again.
     */
    due(t: number): number[];
}

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

/**
 * Shows the own player without waiting for the server: it applies each input at once. When a state of the server arrives, it
 * applies the inputs that the state does not have yet to it. If the result is another one than before, what is shown goes
 * there smoothly.
 */
export declare class Prediction<S, I> {
    /** The tick of the newest input or, if that is later, of the server's state. */
    tick: number;
    constructor(clock: Clock, config: PredictionConfig<S, I>);
    /**
     * Applies the input of a tick, one of those that clock.due returns. If ticks are missing before it, the inputs before them
     * are forgotten. A tick that is not after this.tick is ignored.
     */
    input(tick: number, input: I): void;
    /**
     * Returns the newest inputs that no state of the server has yet, at most n, the newest first: what a message has for the
     * server, with the tick of the newest, this.tick.
     */
    recent(n: number): I[];
    /** Takes the server's state after a tick. An older state than one before is ignored. */
    correct(t: number, tick: number, s: S): void;
    /**
     * Returns the state to show, and undefined before the first state of the server. It is between the states before and after
     * the newest input, so an input has its whole effect after one tick.
     */
    at(t: number): S | undefined;
}

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

/**
 * The last states that a client got from the server. It shows them a little late, so that the state before and the state
 * after the time that it shows are there. The delay adapts: it is such that of the last 40 states at most two came too late.
 * It depends on jitter and losses, not on the length of the path, and changes slowly, so that nothing that is shown jumps.
 */
export declare class Snapshots<S> {
    /** By how many ticks the states are shown late. */
    delay: number;
    /** The time that at has shown last, in ticks: for lag compensation, a client sends it with an input that aims. */
    shown: number;
    /** clock must hear each message before the Snapshots gets the message's state. */
    constructor(clock: Clock, { minDelay, maxDelay, beyond }?: SnapshotsConfig);
    /**
     * Adds the state after a tick, which has arrived now. States may come in any order; one that is there already, or is older
     * than all 64 that are kept, is ignored, and so is a tick that is no number.
     */
    add(t: number, tick: number, value: S): void;
    /**
     * Returns the states before and after the time to show, and undefined without any state. The states are the same and the
     * share is 0 until four have come, from which the delay is computed. Beyond the newest state the share grows for the time beyond.
     */
    at(t: number): Between<S> | undefined;
}

export {};
