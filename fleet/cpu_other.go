//go:build !unix

package fleet

import "time"

func processTime() time.Duration { return 0 }
