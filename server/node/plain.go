package node

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// plain is a listener without TLS that serves connections which begin as HTTP/2 itself, and hands out the others by Accept. net/http can serve
// both, but finds out only when it has given a connection the buffers of HTTP/1, and keeps them as long as it lasts: 8 KiB of each idle
// client (see "Where the time goes" in server/DESIGN.md).
//
// Goroutines, for all of which wait waits: one accepts until Close, and one for each connection serves it or hands it out; it ends with its connection, or by cut.
type plain struct {
	net.Listener
	server *http.Server
	http2  *http2.Server

	others  chan net.Conn
	closed  chan struct{} // by Close
	closing sync.Once
	stopped chan struct{} // when nothing is accepted any more
	failure error         // why; set before stopped is closed

	serving sync.WaitGroup
	mu      sync.Mutex
	open    map[net.Conn]struct{} // guarded by mu; nil after cut
}

// newPlain has to be called before the server serves: it lets Shutdown end the connections of HTTP/2 gracefully too.
func newPlain(l net.Listener, server *http.Server) (*plain, error) {
	p := &plain{
		Listener: l, server: server, http2: &http2.Server{}, others: make(chan net.Conn), closed: make(chan struct{}),
		stopped: make(chan struct{}), open: make(map[net.Conn]struct{}),
	}
	return p, http2.ConfigureServer(server, p.http2) // with the settings of server.HTTP2
}

// start begins to accept connections.
func (p *plain) start() { p.serving.Go(p.accept) }

func (p *plain) accept() {
	defer close(p.stopped)
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			p.failure = err
			return
		}
		if p.keep(c) {
			p.serving.Go(func() {
				defer p.forget(c)
				p.serve(c)
			})
		}
	}
}

// keep remembers a connection, and closes it after cut.
func (p *plain) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		_ = c.Close()
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *plain) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// serve serves a connection of HTTP/2 until its end, and hands out any other.
func (p *plain) serve(c net.Conn) {
	head, ok := readPreface(c)
	switch {
	case ok:
		p.http2.ServeConn(c, &http2.ServeConnOpts{BaseConfig: p.server, Handler: p.server.Handler, SawClientPreface: true})
	case len(head) == 0:
		_ = c.Close() // nothing came
	default:
		select {
		case p.others <- &begunConn{c, head}:
		case <-p.stopped:
			_ = c.Close()
		}
	}
}

// readPreface reads as much of a connection as tells whether it is one of HTTP/2, and reports whether it is.
func readPreface(c net.Conn) (head []byte, ok bool) {
	_ = c.SetReadDeadline(time.Now().Add(headerTimeout))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	preface := []byte(http2.ClientPreface)
	buf := make([]byte, 0, len(preface))
	for len(buf) < len(preface) {
		n, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if !bytes.HasPrefix(preface, buf) || err != nil {
			return buf, false
		}
	}
	return buf, true
}

// begunConn is a connection of which the beginning was read.
type begunConn struct {
	net.Conn
	head []byte // one goroutine reads at a time
}

func (c *begunConn) Read(b []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.head)
	c.head = c.head[n:]
	return n, nil
}

// Accept returns the next connection that isn't HTTP/2.
func (p *plain) Accept() (net.Conn, error) {
	select {
	case c := <-p.others:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-p.stopped:
		return nil, p.failure
	}
}

// Close ends accepting; connections go on.
func (p *plain) Close() error {
	err := net.ErrClosed
	p.closing.Do(func() {
		close(p.closed)
		err = p.Listener.Close()
	})
	return err
}

// wait returns when all connections of HTTP/2 have ended, or with ctx's error.
func (p *plain) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // ends with the last of them: cut sees to it where ctx ends first
		p.serving.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cut closes all connections of HTTP/2.
func (p *plain) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}
