//go:build plantedbugs

package planted

import "os"

var on = Name(os.Getenv("NATTERJACK_PLANTED"))

// Bug reports whether a fault is on.
func Bug(n Name) bool { return n == on }
