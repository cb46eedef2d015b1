package main

import (
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

func TestSlowWebClientsEnd(t *testing.T) { testkit.EndsSlowClients(t, webServer) }
