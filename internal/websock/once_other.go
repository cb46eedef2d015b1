//go:build !unix

package websock

// canTry is false: package net has only a write that may wait.
const canTry = false

func writeOnce(uintptr, []byte) int { return 0 }
