//go:build !linux

// Age measures how old the newest state is over TCP. It needs Linux.
package main

import "fmt"

func main() { fmt.Println("age needs Linux: its links are TUN devices") }
