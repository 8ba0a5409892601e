package faults

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Wire says what a proxy does to the bytes of a connection. The zero value passes them on.
type Wire struct {
	// CutUp and CutDown, unless 0, cut the connection once so many bytes have gone to the server, or come from it: what is beyond
	// gets lost, and both ends see a reset.
	CutUp, CutDown int64
	// Slice, unless 0, passes bytes on in pieces of 1 to that many.
	Slice int
	// Delay is added to each read, in both directions.
	Delay time.Duration
}

// Proxy stands between clients and a server. Safe for concurrent use. It ends with the test.
type Proxy struct {
	URL string
	// Cuts counts the connections that were cut.
	Cuts atomic.Int64

	target   string
	listener net.Listener
	running  sync.WaitGroup
	ctx      context.Context //nolint:containedctx // ends with the test

	mu    sync.Mutex // guards what follows
	wire  func() Wire
	conns map[*net.TCPConn]struct{}
}

// NewProxy returns a proxy for the server at a URL.
func NewProxy(t testing.TB, server string) *Proxy {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		URL: "http://" + l.Addr().String(), target: u.Host, listener: l, ctx: ctx,
		wire: func() Wire { return Wire{} }, conns: map[*net.TCPConn]struct{}{},
	}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		cancel()
		p.Close()
		p.running.Wait()
	})
	return p
}

// Close takes no more connections and cuts all.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.CutAll()
}

// Set says what happens to connections from now on; wire is asked for each one, by one goroutine at a time.
func (p *Proxy) Set(wire func() Wire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wire = wire
}

// CutAll cuts all connections.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		reset(c)
	}
	p.Cuts.Add(int64(len(p.conns) / 2))
}

// reset closes a connection so that the other end sees a reset instead of a good end.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.serve(c.(*net.TCPConn)) }) //nolint:forcetypeassert // a TCP listener
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	var d net.Dialer
	c, err := d.DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	server := c.(*net.TCPConn) //nolint:forcetypeassert // dialled as TCP
	p.mu.Lock()
	wire := p.wire()
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, client)
		delete(p.conns, server)
	}()
	var both sync.WaitGroup
	both.Go(func() { p.pass(server, client, wire, wire.CutUp) })
	both.Go(func() { p.pass(client, server, wire, wire.CutDown) })
	both.Wait()
}

// pass copies one direction until it ends, or the cut.
func (p *Proxy) pass(to, from *net.TCPConn, w Wire, cut int64) {
	buf := make([]byte, 32<<10)
	for passed := int64(0); ; {
		n, err := from.Read(buf)
		if w.Delay > 0 {
			select {
			case <-time.After(w.Delay):
			case <-p.ctx.Done():
			}
		}
		data := buf[:n]
		if cut > 0 && passed+int64(n) >= cut {
			data = data[:cut-passed]
		}
		if !write(to, data, w.Slice) || err != nil && err != io.EOF { //nolint:errorlint // Read of net returns it bare
			reset(to)
			reset(from)
			return
		}
		passed += int64(len(data))
		if cut > 0 && passed >= cut {
			p.Cuts.Add(1)
			reset(to)
			reset(from)
			return
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// write writes data, in pieces if slice says so.
func write(to *net.TCPConn, data []byte, slice int) bool {
	for len(data) > 0 {
		n := len(data)
		if slice > 0 {
			n = min(n, 1+rand.IntN(slice))
		}
		if _, err := to.Write(data[:n]); err != nil {
			return false
		}
		data = data[n:]
	}
	return true
}
