// The client side of a game with a tick, for a page: a module of its own, @godwit/client/game. docs/game.md shows its use.
// It knows nothing of a Conn: the page puts its values into its own messages.

export { Clock, type ClockConfig } from "./clock";
export { Prediction, type PredictionConfig } from "./prediction";
export { type Between, Snapshots, type SnapshotsConfig } from "./snapshots";
