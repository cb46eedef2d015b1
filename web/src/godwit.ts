// What @godwit/client exports.
export * from "./core";
export { keep, resume, suspend } from "./keep";
