// The exports of @godwit/client.
export * from "./core";
export { keep, resume, suspend } from "./keep";
