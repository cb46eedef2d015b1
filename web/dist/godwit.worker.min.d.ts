// Made by build.mjs from src/.

/**
 * Makes the peer connections of a worker that calls usePage. Call serve in the page, in the task that makes the worker:
 * listeners for messages of the worker that are added later do not get those of usePage. Returns a function that closes the
 * peer connections and ends serve: call it when the page terminates the worker.
 */
export declare function serve(worker: Worker): () => void;

/**
 * Lets this worker use WebRTC: its page, which has called serve, makes the peer connections. Call usePage in a dedicated
 * worker and await it before connect, sessions, connectRaw or new Conn. It gives the worker a global RTCPeerConnection, with
 * the part that the client needs, and sends the events pagehide and pageshow of the page to the worker.
 *
 * Resolves when the page has called serve, with whether the worker has WebRTC. If not, because the browser cannot transfer
 * data channels or has no WebRTC, sessions use the other links, which work in a worker without the page. In a page, and in
 * a worker that has WebRTC already, usePage does nothing and resolves with true. Rejects with an Error if the page has not
 * answered for 30 s: a page that calls serve too late gets nothing of usePage. Another call tries again.
 */
export declare function usePage(): Promise<boolean>;
