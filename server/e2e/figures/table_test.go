package figures

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// figure is something that the server is held to.
type figure struct {
	name    string // for the command line
	what    string
	measure func(t *testing.T, s sizes) []line
}

// line is one number of a figure.
type line struct {
	what  string
	value float64
	unit  string
	// hold and aim bound the value: from below where atLeast is set, else from above. 0: it is held to nothing.
	hold, aim float64
	atLeast   bool
	// anchor is what something bare did in the same run; "" where there is nothing to compare with.
	anchor string
	// mayBeZero says why a value of 0 is no mistake.
	mayBeZero string
}

// verdict says what the value is held to came of it.
func (l *line) verdict() string {
	meets := func(bound float64) bool { return l.atLeast && l.value >= bound || !l.atLeast && l.value <= bound }
	switch {
	case l.hold == 0 && l.aim == 0:
		return ""
	case l.aim != 0 && meets(l.aim):
		return "aim"
	case l.hold != 0 && meets(l.hold):
		return "held"
	default:
		return "MISSED"
	}
}

func (l *line) bound(value float64) string {
	switch {
	case value == 0:
		return ""
	case l.atLeast:
		return "≥ " + number(value)
	default:
		return "≤ " + number(value)
	}
}

// number writes three digits that count, and thousands with commas.
func number(v float64) string {
	switch {
	case v >= 1000:
		s := fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	default:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	}
}

// table is what is printed in the end: rows of cells, and titles, which have one cell and no part in the columns' widths.
type table struct{ rows [][]string }

func (t *table) add(f figure, lines []line) {
	t.rows = append(t.rows, []string{f.name + ": " + f.what})
	for _, l := range lines {
		t.rows = append(t.rows, []string{"  " + l.what, number(l.value) + " " + l.unit, l.bound(l.hold), l.bound(l.aim), l.verdict(), l.anchor})
	}
}

func (t *table) failed(f figure) {
	t.rows = append(t.rows, []string{f.name + ": " + f.what}, []string{"", "", "", "", "FAILED", ""})
}

func (t *table) write(w io.Writer) error {
	rows := append([][]string{{"FIGURE", "MEASURED", "HOLD", "AIM", "", "ANCHOR, IN THE SAME RUN"}}, t.rows...)
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			if len(row) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&b, "%-*s  ", widths[i], cell)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

func TestTableSaysWhatIsHeld(t *testing.T) {
	var out strings.Builder
	tab := &table{}
	tab.add(figure{name: "speed", what: "how quick it is"}, []line{
		{what: "p99", value: 3.456, unit: "ms", hold: 10, aim: 3, anchor: "echo 1 ms"},
		{what: "p50", value: 0.5, unit: "ms", hold: 1, aim: 0.6},
		{what: "rate", value: 12345.6, unit: "/s", hold: 20000, aim: 30000, atLeast: true},
		{what: "cost", value: 20, unit: "µs"},
	})
	tab.failed(figure{name: "broken", what: "it"})
	if err := tab.write(&out); err != nil {
		t.Fatal(err)
	}
	want := `FIGURE  MEASURED   HOLD      AIM               ANCHOR, IN THE SAME RUN
speed: how quick it is
  p99   3.46 ms    ≤ 10      ≤ 3       held    echo 1 ms
  p50   0.5 ms     ≤ 1       ≤ 0.6     aim
  rate  12,346 /s  ≥ 20,000  ≥ 30,000  MISSED
  cost  20 µs
broken: it
                                       FAILED
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestUnknownFiguresAreNamed(t *testing.T) {
	if _, err := choose(all(), []string{"latency", "speed"}); err == nil || !strings.Contains(err.Error(), `"speed"`) {
		t.Errorf("got %v", err)
	}
	if got, err := choose(all(), []string{"latency"}); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}
