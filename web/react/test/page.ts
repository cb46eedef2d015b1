// The page of TestReact of interop/: a component in StrictMode that chats. Scripts before it have set godwit and table.
import { createElement, type ReactElement, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import type * as client from "../../dist/godwit.js";
import { useConnection } from "../src/react";

declare const godwit: typeof client;
declare const table: [{ name: "chat"; mode: "reliable-ordered" }];

let calls = 0; // of connect

function Chat({ url }: { url: string }): ReactElement {
  const { conn, state, error } = useConnection(
    (signal) => {
      calls++;
      return godwit.connect(url, { channels: table, signal });
    },
    [url],
  );
  const [lines, add] = useState<string[]>([]);
  useEffect(() => conn?.on("chat", (b) => add((all) => [...all, new TextDecoder().decode(b)])), [conn]);
  useEffect(() => conn?.send("chat", new TextEncoder().encode(url)), [conn, url]);
  return createElement("p", null, `${error ?? state}: ${lines.join(", ")}`);
}

const root = createRoot(document.body.appendChild(document.createElement("div")));
Object.assign(globalThis, {
  chat: {
    calls: () => calls,
    render: (url: string) => root.render(createElement(StrictMode, null, createElement(Chat, { url }))),
    unmount: () => root.unmount(),
  },
});
