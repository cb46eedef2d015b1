//go:build !linux

// Compare measures one game with godwit and with other libraries. It needs Linux.
package main

import "fmt"

func main() { fmt.Println("compare needs Linux: its links are TUN devices") }
