//go:build !unix

package main

import "os/exec"

func group(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}
