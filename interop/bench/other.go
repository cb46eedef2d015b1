//go:build !linux

// Bench compares the costs of servers. It needs Linux.
package main

import "fmt"

func main() { fmt.Println("bench needs Linux: it reads /proc and pins processes to cores") }
