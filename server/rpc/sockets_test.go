package rpc

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// held is a socket whose goroutine reads until its connection is closed.
func held(t *testing.T, s *Server) (over <-chan struct{}) {
	t.Helper()
	server, client := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	limits := DefaultLimits()
	k := newSocket(server, &request{}, time.Now(), nil, &limits)
	if !s.sockets.add(k) {
		t.Fatal("a server that isn't going down takes no WebSocket")
	}
	done := make(chan struct{})
	go func() {
		defer s.sockets.remove(k) // which lets Shutdown return, so it comes last
		defer close(done)
		_, _ = k.conn.Read(make([]byte, 1))
	}()
	return done
}

func TestWebSocketsThatDoNotEndInTimeAreCutOff(t *testing.T) {
	t.Parallel()
	s := &Server{}
	over := held(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case <-over:
	default:
		t.Error("a WebSocket goes on after the shutdown")
	}
}

func TestAShutdownWaitsForWebSocketsAndTakesNoMore(t *testing.T) {
	t.Parallel()
	s := &Server{}
	over := held(t, s)
	s.sockets.drain() // which makes the reading fail
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-over:
	default:
		t.Error("it didn't wait")
	}
	if s.sockets.add(&socket{}) {
		t.Error("one more was taken")
	}
}
