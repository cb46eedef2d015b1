package testkit

import "runtime"

// HeapNow returns the bytes of the heap that are reachable. It collects garbage twice,
// because the content of a sync.Pool survives one collection.
func HeapNow() int {
	heap, _ := MemoryNow()
	return heap
}

// MemoryNow returns the bytes of the heap that are reachable, as HeapNow, and the bytes of
// the stacks.
func MemoryNow() (heap, stacks int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc), int(m.StackInuse)
}

// Allocated returns the bytes that the whole program allocates while f runs.
func Allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// Collect collects garbage until there is an event, and returns the event. The garbage
// collector is no part of a synctest bubble, so call it outside of one.
func Collect[T any](events <-chan T) T {
	for {
		select {
		case event := <-events:
			return event
		default:
			runtime.GC()
		}
	}
}
