package relay

// For tests outside of the package.
var (
	CheckFor = check
	Record   = record
)
