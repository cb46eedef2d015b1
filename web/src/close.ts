/**
 * The codes with which a session ends, docs/SESSION.md section 5. Codes from Program to 65535 are those of the program.
 */
export const CloseCode = {
  /** The program, or the player, has finished. */
  Normal: 0,
  /** The server's program has put this client out. */
  Kicked: 1,
  /** The server shuts down. Another one may serve: connect again. */
  Shutdown: 2,
  /** The other end broke the protocol; the reason says how. */
  ProtocolError: 3,
  /** The credentials have expired, or the server's program says that they are not valid any more. */
  Auth: 4,
  /** The same identity has connected once more. */
  Replaced: 5,
  /** Nothing arrived for the whole grace time, or large packets do not arrive. */
  Timeout: 6,
  /** The same identity is connected already. */
  Duplicate: 7,
  /** The server has sent this client to another one: CloseReason.seat. */
  Moved: 8,
  /** This client sent too many messages per second. */
  LimitMessages: 16,
  /** This client sent too many bytes per second. */
  LimitBytes: 17,
  /** This client sent a message larger than its channel allows. */
  LimitSize: 18,
  /** Too much was sent before the session was open. */
  LimitEarly: 19,
  /** So many requests arrived that there was no room to queue their rejections. */
  LimitRequests: 20,
  /** The first code of the program. */
  Program: 256,
} as const;
export type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];
