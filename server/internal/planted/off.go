//go:build !plantedbugs

package planted

// Bug reports whether a fault is on: never.
func Bug(Name) bool { return false }
