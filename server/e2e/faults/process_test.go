package faults

import (
	"testing"
	"time"

	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/e2e/history"
)

// TestNothingIsLostByKills kills the server again and again while its clients chat.
func TestNothingIsLostByKills(t *testing.T) {
	s := Start(t, Options{})
	f := populated(t, s.URL, fleet.Shape{Users: 6, Devices: 2})
	during(t, f, fleet.Work{Seed: 1, Sends: 7000}, 900, func(int) {
		s.Kill()
		f.Recorder.Crashed()
		inject("kill")
		s.Start()
	})
	judge(t, f)
}

// TestDrainTellsEveryStream ends the server in good order: what was accepted is stored, and each stream is told to come back.
func TestDrainTellsEveryStream(t *testing.T) {
	s := Start(t, Options{})
	f := populated(t, s.URL, fleet.Shape{Users: 4, Devices: 2})
	during(t, f, fleet.Work{Seed: 2, Sends: 2000}, 700, func(int) {
		if err := f.AwaitLive(limit(t)); err != nil { // a stream that is being opened is told nothing
			t.Fatal(err)
		}
		open := openStreams(f)
		if err := s.Terminate(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
		f.Recorder.Crashed() // what was acknowledged has to survive it too
		inject("terminate")
		for _, stream := range open {
			Await(t, "a stream ends", stream.Ended)
			if reason := stream.Farewell(); reason != "GOODBYE_REASON_DRAIN" {
				t.Errorf("a stream ended with %q", reason)
			}
		}
		s.Start()
	})
	judge(t, f)
}

// openStreams returns the streams that are open now.
func openStreams(f *fleet.Fleet) []*history.Stream {
	var open []*history.Stream
	for _, d := range f.Devices() {
		if s := d.Record.Current(); s != nil {
			open = append(open, s)
		}
	}
	return open
}

// TestFrozenServerGoesOn stops the process for seconds at a time.
func TestFrozenServerGoesOn(t *testing.T) {
	s := Start(t, Options{})
	f := populated(t, s.URL, fleet.Shape{Users: 4, Devices: 2})
	during(t, f, fleet.Work{Seed: 3, Sends: 2500}, 800, func(n int) {
		s.Freeze()
		inject("freeze")
		<-time.After(time.Duration(n+1) * time.Second)
		s.Thaw()
	})
	judge(t, f)
}

// TestAllReconnectAtOnce cuts all connections at the same moment, repeatedly.
func TestAllReconnectAtOnce(t *testing.T) {
	s := Start(t, Options{})
	p := NewProxy(t, s.URL)
	f := populated(t, s.URL, fleet.Shape{Users: 6, Devices: 8, Options: func(int, int) fleet.DeviceOptions {
		return fleet.DeviceOptions{URL: p.URL}
	}})
	during(t, f, fleet.Work{Seed: 4, Sends: 3000}, 400, func(int) {
		p.CutAll()
		inject("cut all")
	})
	judge(t, f)
}

// TestLongAbsence lets two devices of one user miss thousands of messages and catch up, one from its checkpoint and one from nothing.
func TestLongAbsence(t *testing.T) {
	s := Start(t, Options{})
	f := populated(t, s.URL, fleet.Shape{Users: 3, Devices: 1})
	away := f.Users()[2]
	checkpoint := client.FileCheckpoint(t.TempDir() + "/checkpoint.json")
	before, err := away.Device("away", fleet.DeviceOptions{Checkpoint: checkpoint})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.AwaitLive(limit(t)); err != nil {
		t.Fatal(err)
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Run(limit(t), fleet.Work{Seed: 5, Sends: 7000}); err != nil {
		t.Fatal(err)
	}
	inject("absence")
	if _, err := away.Device("away", fleet.DeviceOptions{Checkpoint: checkpoint, Continue: before}); err != nil {
		t.Fatal(err)
	}
	if _, err := away.Device("new", fleet.DeviceOptions{}); err != nil {
		t.Fatal(err)
	}
	judge(t, f)
}
