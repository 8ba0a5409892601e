package nodetest

// Via returns the node as it is seen through a proxy: clients made of it speak to url, and may reach any node behind that. Its Stop does nothing.
func (s *Server) Via(url string) *Server {
	v := &Server{URL: url, Node: s.Node, t: s.t, done: s.done}
	v.once.Do(func() {}) // the node is stopped by s
	s.t.Cleanup(v.http.close)
	return v
}
