// Package doctor finds out why players cannot reach a godwit server. It is what command godwit-doctor
// does.
//
// [Run] looks from the side of a player: it makes the requests and sends the datagrams of a page, and
// says of each what it has found, what is wrong, and what to do next. [Machine] looks at the machine of
// the server. Each check gives a [Result] as soon as it is known; every check has a time limit.
//
// A doctor does not join the game: it sends no first message of a session, so no handler of a
// godwit.Server runs for it. The Handler of a plain rtcserver.Server gets one connection, as of a page.
package doctor
