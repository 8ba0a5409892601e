package planted

import "testing"

func TestNothingIsPlantedUnlessAsked(t *testing.T) {
	t.Setenv("NATTERJACK_PLANTED", string(AckBeforeCommit)) // read when a process with the tag starts
	for _, n := range []Name{AckBeforeCommit, DropBatches} {
		if Bug(n) {
			t.Errorf("%s is on", n)
		}
	}
}

func TestFirstKeepsTheFirstValueOfEachKey(t *testing.T) {
	if a, b, c := First("a", 1), First("a", 2), First("b", 3); a != 1 || b != 1 || c != 3 {
		t.Fatal(a, b, c)
	}
}

func TestNextNeverComesBack(t *testing.T) {
	if a, b, c, d := Next("k", 5), Next("k", 5), Next("k", 9), Next("other", 1); a != 5 || b != 6 || c != 9 || d != 1 {
		t.Fatal(a, b, c, d)
	}
}

func TestEveryCountsCalls(t *testing.T) {
	n := 0
	for range 30 {
		if Every(10) {
			n++
		}
	}
	if n != 3 {
		t.Fatal(n)
	}
}
