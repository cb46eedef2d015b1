package session

import (
	"errors"
	"fmt"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/handling"
)

// Errors of calls on a session. Find them with errors.Is. The first six are those of
// package channel.
var (
	// ErrClosed: the session is over or is being closed. It is also net.ErrClosed, and the
	// same value as ErrClosed of the other packages.
	ErrClosed = channel.ErrClosed
	// ErrUnknown: the session has no such channel, or it is closed or being closed.
	ErrUnknown = channel.ErrUnknown
	// ErrDirection: only the other end may send on the channel.
	ErrDirection = channel.ErrDirection
	// ErrTooLarge: the message is larger than the channel's MaxMessage.
	ErrTooLarge = channel.ErrTooLarge
	// ErrBudget: the queue of the reliable channel is full, and the message was not
	// queued. Send less, or send later.
	ErrBudget = channel.ErrBudget
	// ErrExpired: the deadline of the message has passed.
	ErrExpired = channel.ErrExpired

	// ErrInterrupted: the session is interrupted, and the channel is unreliable or
	// sequenced. The message would be out of date when the session resumes.
	ErrInterrupted = errors.New("session: interrupted: only reliable messages are queued now; send again when the session is resumed")
	// ErrTooMany: as many requests as this end may send have no answer yet.
	ErrTooMany = errors.New("session: too many requests wait for an answer; ask again when some are answered")
	// ErrName: a request's name is empty, longer than MaxName, or not UTF-8.
	ErrName = fmt.Errorf("session: the name of a request is 1 to %d bytes of UTF-8", MaxName)
	// ErrPayload: a request or a reply is larger than MaxRequest.
	ErrPayload = fmt.Errorf("session: a request or reply has at most %d bytes; send more on a channel", MaxRequest)
	// ErrAnswered: the request already has an answer, or its session is over.
	ErrAnswered = errors.New("session: the request is answered already, or the session is closed")
	// ErrFixed: the channel cannot be opened or closed. To open one, the session must be
	// open or interrupted. The other end must support it; a client needs
	// godwit.Config.MaxClientChannels to open channels; channels of the first table cannot
	// be closed.
	ErrFixed = errors.New("session: the channel cannot be opened or closed now: the other end does not allow or support it, or the channel is of the first table")
	// ErrHello: the connect message is longer than MaxHello.
	ErrHello = fmt.Errorf("session: a connect message has at most %d bytes", MaxHello)
	// ErrInHandler: the call would wait for the goroutine that it runs on.
	ErrInHandler = handling.ErrInHandler
	// ErrManual: Poll was called without Manual in the Config.
	ErrManual = errors.New("session: Poll needs Config.Manual; without it a goroutine does the same")
)
