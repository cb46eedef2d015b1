import { type LinkOffer, type LinkPipe, type LinkType } from "./options";

/** How long the browser may keep a datagram that it cannot send, in ms: later it is lost. */
const maxAge = 500;

/**
 * Returns a WebTransport as a LinkPipe. bufferedAmount counts the datagrams that the browser has not taken from the
 * stream. Safari has only createWritable, other browsers only writable.
 */
function dial({ address, ticket, hashes = [] }: LinkOffer): LinkPipe {
  const transport = new WebTransport(`${address}?ticket=${ticket}`, {
    congestionControl: "low-latency",
    requireUnreliable: true,
    serverCertificateHashes: hashes.map((h) => ({
      algorithm: "sha-256",
      value: Uint8Array.from(atob(h), (c) => c.charCodeAt(0)),
    })),
  });
  const { datagrams } = transport as { datagrams: WebTransportDatagramDuplexStream & { createWritable?: () => WritableStream } };
  datagrams.outgoingMaxAge = maxAge;
  const writer = (datagrams.createWritable?.() ?? datagrams.writable).getWriter();
  const end = (e: unknown): void => {
    pipe.readyState = "closed";
    pipe.onclose?.call(pipe as never, e as Event);
  };
  const pipe: LinkPipe = {
    readyState: "connecting",
    bufferedAmount: 0,
    bufferedAmountLowThreshold: 0,
    onopen: null,
    onmessage: null,
    onbufferedamountlow: null,
    onclose: null,
    send(data: unknown) {
      if (pipe.readyState !== "open") throw new TypeError("not open");
      const b = (data as Uint8Array).slice(); // the client uses the memory again
      const taken = (): void => {
        const before = pipe.bufferedAmount;
        const after = ((pipe as { bufferedAmount: number }).bufferedAmount = before - b.length);
        const { bufferedAmountLowThreshold: low } = pipe;
        if (before > low && after <= low) pipe.onbufferedamountlow?.call(pipe as never, new Event("bufferedamountlow"));
      };
      (pipe as { bufferedAmount: number }).bufferedAmount += b.length;
      writer.write(b).then(taken, taken);
    },
    close: () => transport.close(),
  };
  transport.closed.then(end, end);
  transport.ready
    .then(async () => {
      pipe.readyState = "open";
      pipe.onopen?.call(pipe as never, new Event("open"));
      const reader = datagrams.readable.getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        pipe.onmessage?.call(pipe as never, { data: value, timeStamp: performance.now() } as MessageEvent);
      }
    })
    .catch(() => {}); // closed tells it
  return pipe;
}

/** WebTransport, for the option links: links: ["webrtc", webtransport, "websocket"]. The server must serve it. */
export const webtransport: LinkType = { name: "webtransport", lossless: false, dial };
