package typed_test

import (
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m, "/typed.") }
