import { type SentPacket } from "./sent";

/** How large packets may be where larger ones do not arrive: it holds the largest piece behind a header and an ack block. */
export const leastBudget = 1060;

/** From one try of the larger budget to the next. */
export const retryWide = 60_000;

/**
 * Turns of a run after which the budget falls: 16 packets at least were lost. A link that loses 30 %, whatever their
 * size, begins such a run with a chance of 0.3^16 = 4e-9: with 20 turns a second twice a year.
 */
export const fallTurns = 32;
/** Turns after which the link is stuck, and the session ends: where 70 % of packets are lost the chance is 0.7^40 = 6e-7. */
export const stuckTurns = 80;

/**
 * A run is packets of some size that were lost on end: none arrived that is as large as any of them. Its turns are
 * packets that arrived and packets of the run, alternately, each sent after the one before.
 *
 * The function takes note of a packet that was lost; the answer is whether the run is long enough. Or, if not lost, of
 * one that arrived; the answer is whether there is no run any more.
 */
export function run(needed: number) {
  let least = 0; // size of the smallest
  let turns = 0;
  let since = 0; // the packet of the last turn
  return ({ number, size }: SentPacket, lost: number): boolean => {
    if (!least) {
      least = size;
      since = number;
      turns = 0;
    }
    if (turns % 2 === lost && number >= since) {
      turns++;
      since = number;
    }
    if (!lost) return size >= least && !(least = 0);
    least = Math.min(least, size);
    return turns >= needed;
  };
}
