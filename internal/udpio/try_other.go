//go:build !unix

package udpio

import "syscall"

// CanTry is false: package net has only calls that may wait.
const CanTry = false

// TryRead reads nothing.
func TryRead(uintptr, []byte) (int, error) { return 0, syscall.EINVAL }

// TryWrite writes nothing.
func TryWrite(uintptr, []byte) int { return 0 }
