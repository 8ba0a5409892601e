package node

import (
	"io"
	"net"
	"testing"

	"golang.org/x/net/http2"
)

// TestConnectionsAreToldApartHoweverTheyAreSliced sends the beginning of a connection in two parts, cut at each byte.
func TestConnectionsAreToldApartHoweverTheyAreSliced(t *testing.T) {
	for text, want := range map[string]bool{
		http2.ClientPreface:                    true,
		"GET / HTTP/1.1\r\nHost: pond\r\n\r\n": false,
		"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\nmore": false,
		"PRI * HTTP/1.1\r\n\r\n":               false,
		"P":                                    false,
	} {
		for cut := range len(text) {
			client, server := net.Pipe()
			go func() { // ends with the text, or with the connection
				_, _ = io.WriteString(client, text[:cut])
				_, _ = io.WriteString(client, text[cut:])
				_ = client.Close()
			}()
			head, ok := readPreface(server)
			if ok != want {
				t.Fatalf("%q cut at %d: %v", text, cut, ok)
			}
			all, err := io.ReadAll(&begunConn{server, head})
			if err != nil || string(all) != text {
				t.Fatalf("%q cut at %d: what is handed out says %q, %v", text, cut, all, err)
			}
		}
	}
}
