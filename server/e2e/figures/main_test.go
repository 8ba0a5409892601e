package figures

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/natterjack-chat/natterjack/server/e2e/faults"
)

var (
	chosen   = flag.String("figures", "", "`names` of figures to measure, with commas between, or all; empty: a small run of each")
	messages = flag.Int("messages", 1_000_000, "messages stored for the figure history, in a full run")
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(bareVariable); spec != "" {
		os.Exit(runBare(spec))
	}
	flag.Parse()
	code := m.Run()
	if err := faults.RemoveBinaries(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// sizes say how much is measured.
type sizes struct {
	duration      time.Duration // of each load
	users         int           // of the load at a fixed rate
	rate          float64
	fanOut        int // streams of one conversation
	fanOutRate    float64
	own, shared   int           // idle streams: each on its own connection, and 50 to one
	rest          time.Duration // that they are left alone before memory is measured: the runtime collects garbage every two minutes at the latest
	messages      int           // stored before pages are read
	pages         int           // read
	missed        int           // in each of 20 conversations
	clients       int           // of the node that is killed
	rawBenchTime  string
	bareIdleShare int // the bare server gets this part of the idle streams
}

// full are the sizes that the figures are about.
func full() sizes {
	return sizes{
		duration: 10 * time.Second, users: 500, rate: 1000, fanOut: 1000, fanOutRate: 520, own: 15_000, shared: 100_000, rest: 125 * time.Second, messages: *messages, pages: 2000,
		missed: 50, clients: 10_000, rawBenchTime: "2s", bareIdleShare: 5,
	}
}

// small are sizes that take no time.
func small() sizes {
	return sizes{
		duration: time.Second, users: 10, rate: 100, fanOut: 10, fanOutRate: 20, own: 20, shared: 100, rest: time.Second, messages: 600, pages: 10,
		missed: 3, clients: 20, rawBenchTime: "1x", bareIdleShare: 1,
	}
}

// TestFigures measures the figures that -figures names and prints them.
func TestFigures(t *testing.T) {
	if *chosen == "" {
		t.Skip("-figures names no figures")
	}
	figures := all()
	if *chosen != "all" {
		var err error
		if figures, err = choose(figures, strings.Split(*chosen, ",")); err != nil {
			t.Fatal(err)
		}
	}
	table := &table{}
	for _, f := range figures {
		begin := time.Now()
		fmt.Fprintf(os.Stderr, "measuring %s: %s\n", f.name, f.what)
		if !t.Run(f.name, func(t *testing.T) { table.add(f, f.measure(t, full())) }) {
			table.failed(f)
		}
		fmt.Fprintf(os.Stderr, "measured %s in %v\n", f.name, time.Since(begin).Round(time.Second))
	}
	if err := table.write(os.Stdout); err != nil {
		t.Fatal(err)
	}
}

func choose(figures []figure, names []string) (out []figure, err error) {
	for _, name := range names {
		i := slices.IndexFunc(figures, func(f figure) bool { return f.name == name })
		if i < 0 {
			var known []string
			for _, f := range figures {
				known = append(known, f.name)
			}
			return nil, fmt.Errorf("there is no figure %q; there are: %s", name, strings.Join(known, ", "))
		}
		out = append(out, figures[i])
	}
	return out, nil
}

// TestEachFigureCanBeMeasured runs everything in a small way. Nothing is held to its figure: CI's machine is busy with other tests.
func TestEachFigureCanBeMeasured(t *testing.T) {
	for _, f := range all() {
		t.Run(f.name, func(t *testing.T) {
			lines := f.measure(t, small())
			if len(lines) == 0 {
				t.Fatal("nothing was measured")
			}
			for _, l := range lines {
				if l.value < 0 || l.value == 0 && l.mayBeZero == "" {
					t.Errorf("%s: %v", l.what, l.value)
				}
			}
		})
	}
}
