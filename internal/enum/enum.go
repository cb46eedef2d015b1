// Package enum gives the values of an enumeration their names.
package enum

// Name returns the name of v, which is the element of names with the index v, or "unknown"
// if there is none or it is empty.
func Name[T ~uint8](v T, names []string) string {
	if int(v) < len(names) && names[v] != "" {
		return names[v]
	}
	return "unknown"
}
