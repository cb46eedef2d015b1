import { type SentPacket } from "./sent";

/**
 * The limit in bytes of packets on a link where larger ones do not arrive. The largest piece fits, with a header and an
 * ack block.
 */
export const leastBudget = 1060;

/** Time between two tries of the larger budget, in ms. */
export const retryWide = 60_000;

/**
 * Turns of a run after which the budget falls: at least 16 packets were lost. On a link that loses 30 % of packets of
 * any size a packet begins such a run with a chance of 0.3^16 = 4e-9: with 20 turns a second, about twice a year.
 */
export const fallTurns = 32;
/**
 * Turns after which the link is stuck, and the session ends. On a link that loses 70 % of packets the chance is 0.7^40
 * = 6e-7.
 */
export const stuckTurns = 80;

/**
 * A run is a series of lost packets of some size, during which no packet arrived that was as large as the smallest of
 * them. Its turns are alternately a packet that arrived and a packet of the run, each sent after the one before.
 *
 * run returns a function that records a packet. For a lost packet it returns whether the run is long enough. For a
 * packet that arrived it returns whether there is no run any more.
 */
export function run(needed: number) {
  let least = 0; // size of the smallest lost packet; 0 if there is no run
  let turns = 0;
  let since = 0; // the packet of the last turn
  return ({ number, len: size }: SentPacket, lost: number): boolean => {
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
