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

// mode is what a proxy does with all connections.
type mode int32

const (
	passing  mode = iota
	silent        // what is sent gets lost, and connections stay open
	refusing      // there are no connections
)

// Proxy stands between clients and a server, or several of which any will do. Safe for concurrent use. It ends with the test.
type Proxy struct {
	URL string
	// Cuts counts the connections that were cut.
	Cuts atomic.Int64

	targets  []string
	listener net.Listener
	running  sync.WaitGroup
	ctx      context.Context //nolint:containedctx // ends with the test
	mode     atomic.Int32    // changed with mu held, so that it is the same for all connections that are cut

	mu     sync.Mutex // guards what follows
	wire   func() Wire
	conns  map[*net.TCPConn]string // either end, with the target
	evaded map[string]bool         // by target
}

// NewProxy returns a proxy for the servers at some URLs. A connection goes to the first one that takes it, as over a load balancer.
func NewProxy(t testing.TB, servers ...string) *Proxy {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{ctx: ctx, wire: func() Wire { return Wire{} }, conns: map[*net.TCPConn]string{}, evaded: map[string]bool{}}
	for _, server := range servers {
		p.targets = append(p.targets, host(server))
	}
	var err error
	if p.listener, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	p.URL = "http://" + p.listener.Addr().String()
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

// host returns the address in a URL, which is well formed.
func host(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err)
	}
	return u.Host
}

// Evade cuts the connections to one of the servers and makes no others until Return, as a load balancer does once it notices that a server doesn't answer.
func (p *Proxy) Evade(server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.evaded[host(server)] = true
	for c, target := range p.conns {
		if target == host(server) {
			reset(c)
		}
	}
}

// Return ends Evade. Connections stay where they are.
func (p *Proxy) Return(server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.evaded, host(server))
}

// Silence loses all that is sent from now on, either way, until Mend. Nobody is told: it is as when a cable is cut.
func (p *Proxy) Silence() { p.mode.Store(int32(silent)) }

// Refuse cuts all connections and takes no others until Mend.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode.Store(int32(refusing))
	p.cutAll()
}

// Mend passes on what comes, on new connections: those of which something was lost are cut.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAll()
	p.mode.Store(int32(passing))
}

func (p *Proxy) is(m mode) bool { return p.mode.Load() == int32(m) }

// CutAll cuts all connections.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutAll()
}

// cutAll is CutAll; mu is held.
func (p *Proxy) cutAll() {
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

// dial connects to the first server that takes it; nil: none does.
func (p *Proxy) dial() (c *net.TCPConn, target string) {
	var d net.Dialer
	for _, target := range p.targets {
		if p.evades(target) {
			continue
		}
		if c, err := d.DialContext(p.ctx, "tcp", target); err == nil {
			return c.(*net.TCPConn), target //nolint:forcetypeassert // dialled as TCP
		}
	}
	return nil, ""
}

func (p *Proxy) evades(target string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.evaded[target]
}

func (p *Proxy) serve(client *net.TCPConn) {
	server, target := p.dial()
	if server == nil {
		reset(client)
		return
	}
	p.mu.Lock()
	if p.is(refusing) || p.evaded[target] {
		p.mu.Unlock()
		reset(client)
		reset(server)
		return
	}
	wire := p.wire()
	p.conns[client], p.conns[server] = target, target
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
		if err == nil && p.is(silent) {
			continue
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
