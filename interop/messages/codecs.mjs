// The page of TestCodecs: sends messages in MessagePack and protobuf to the URL in its argument, and prints what comes back.
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { StructSchema } from "@bufbuild/protobuf/wkt";
import { Packr } from "msgpackr";
import { connect } from "../../web/dist/godwit.types.js";

const packr = new Packr({ useRecords: false });
const messagePack = {
  encode: (m) => packr.pack(m),
  decode: (b) => packr.unpack(b),
};

const protobuf = (schema) => ({
  encode: (m) => toBinary(schema, create(schema, m)),
  decode: (b) => fromBinary(schema, b),
});

const game = {
  channels: [
    { name: "state", mode: "reliable-ordered" },
    { name: "extra", mode: "reliable-ordered" },
  ],
  messages: { state: messagePack, extra: protobuf(StructSchema) },
};

const print = (m) => process.stdout.write(`${JSON.stringify(m)}\n`);
const conn = await connect(process.argv[2], game, { links: ["websocket"] });
const heard = (name) => new Promise((resolve) => conn.on(name, resolve));
const [state, extra] = [heard("state"), heard("extra")];
conn.send("state", { tick: 7, names: ["ada", "grüß"], at: [0.5, -1] });
print(await state);
conn.send("extra", {
  fields: { name: { kind: { case: "stringValue", value: "ada" } }, score: { kind: { case: "numberValue", value: 3 } } },
});
const { name, score, seen } = toJson(StructSchema, await extra);
print({ name, score, seen });
await conn.close();
