package rpc_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
	"github.com/natterjack-chat/natterjack/server/node"
	"github.com/natterjack-chat/natterjack/server/node/nodetest"
)

func TestAHandshakeIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.AllowedOrigins = []string{"https://chat.example.com"} }))
	stream := chatv1connect.ChatServiceStreamProcedure
	for name, c := range map[string]struct {
		path   string
		header map[string]string
		status int
		says   string
	}{
		"no browser":             {stream, nil, http.StatusSwitchingProtocols, ""},
		"of its own":             {stream, map[string]string{"Origin": s.URL}, http.StatusSwitchingProtocols, ""},
		"of its own, behind TLS": {stream, map[string]string{"Origin": strings.Replace(s.URL, "http", "https", 1)}, http.StatusSwitchingProtocols, ""},
		"of an allowed origin":   {stream, map[string]string{"Origin": "https://chat.example.com"}, http.StatusSwitchingProtocols, ""},
		"of another origin":      {stream, map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden, "allowed-origins"},
		"of an origin alike":     {stream, map[string]string{"Origin": "https://chat.example.com.evil.example"}, http.StatusForbidden, "allowed-origins"},
		"of a lower scheme":      {stream, map[string]string{"Origin": "http://chat.example.com"}, http.StatusForbidden, "allowed-origins"},
		"of a file":              {stream, map[string]string{"Origin": "null"}, http.StatusForbidden, "allowed-origins"},
		"of nonsense":            {stream, map[string]string{"Origin": "://"}, http.StatusForbidden, "allowed-origins"},
		"no subprotocol":         {stream, map[string]string{"Sec-WebSocket-Protocol": ""}, http.StatusBadRequest, "natterjack.chat.v1.proto"},
		"another subprotocol":    {stream, map[string]string{"Sec-WebSocket-Protocol": "graphql-ws"}, http.StatusBadRequest, "natterjack.chat.v1.proto"},
		"another version":        {stream, map[string]string{"Sec-WebSocket-Version": "8"}, http.StatusUpgradeRequired, "Version"},
		"no key":                 {stream, map[string]string{"Sec-WebSocket-Key": ""}, http.StatusBadRequest, "Key"},
		"no upgrade":             {stream, map[string]string{"Upgrade": ""}, http.StatusHTTPVersionNotSupported, ""},
		"another method":         {chatv1connect.ChatServiceSubscribeProcedure, nil, http.StatusMethodNotAllowed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, _ := knock(t, s, c.path, upgradeHeader(c.header))
			if res.StatusCode != c.status {
				t.Errorf("answered by %s, want %d", res.Status, c.status)
			}
			if c.status == http.StatusSwitchingProtocols {
				if p := res.Header.Get("Sec-WebSocket-Protocol"); p != "natterjack.chat.v1.proto" {
					t.Errorf("the protocol is %q", p)
				}
				if res.Header.Get("Sec-WebSocket-Extensions") != "" || res.Header.Get("X-Request-Id") == "" {
					t.Errorf("the headers are %v", res.Header)
				}
				return
			}
			if b, _ := io.ReadAll(res.Body); !strings.Contains(string(b), c.says) {
				t.Errorf("it says %q", b)
			}
		})
	}
}

func TestPagesOfAllowedOriginsMayReadAnswers(t *testing.T) {
	t.Parallel()
	s := nodetest.Start(t, nodetest.Config(func(c *node.Config) { c.AllowedOrigins = []string{"https://chat.example.com"} }))
	path := s.URL + chatv1connect.ChatServiceListConversationsProcedure
	for _, c := range []struct {
		name, method, origin, asks string
		status                     int
		allowed                    bool
	}{
		{"asking first", http.MethodOptions, "https://chat.example.com", http.MethodPost, http.StatusNoContent, true},
		{"calling", http.MethodPost, "https://chat.example.com", "", http.StatusUnauthorized, true},
		{"another, asking first", http.MethodOptions, "https://evil.example", http.MethodPost, http.StatusMethodNotAllowed, false},
		{"another, calling", http.MethodPost, "https://evil.example", "", http.StatusForbidden, false},
		{"no browser", http.MethodPost, "", "", http.StatusUnauthorized, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := must[*http.Request](t)(http.NewRequestWithContext(within(t), c.method, path, strings.NewReader("{}")))
			r.Header = http.Header{"Content-Type": {"application/json"}, "Origin": {c.origin}, "Access-Control-Request-Method": {c.asks}}
			if c.origin == "" {
				r.Header.Del("Origin")
			}
			res := must[*http.Response](t)(s.HTTP(true).Do(r))
			defer res.Body.Close()
			if res.StatusCode != c.status {
				t.Errorf("answered by %s", res.Status)
			}
			want := ""
			if c.allowed {
				want = c.origin
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("allowed is %q, want %q", got, want)
			}
			if c.asks != "" && c.allowed && !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("the headers allowed are %q", res.Header.Get("Access-Control-Allow-Headers"))
			}
			if res.Header.Get("Access-Control-Allow-Credentials") != "" || res.Header.Get("Vary") == "" {
				t.Errorf("the headers are %v", res.Header)
			}
		})
	}
}
