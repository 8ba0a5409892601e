package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
)

func TestHealthTellsWhetherAllPartsWork(t *testing.T) {
	t.Parallel()
	var storeErr, busErr error
	h := NewHealth(
		map[string]func(context.Context) error{"store": func(context.Context) error { return storeErr }},
		map[string]func(context.Context) error{"bus": func(context.Context) error { return busErr }},
	)
	check := func(wantStatus grpchealth.Status, wantHTTP int, wantParts map[string]string) {
		t.Helper()
		for _, service := range []string{"", chatv1connect.ChatServiceName} {
			r, err := h.Check(t.Context(), &grpchealth.CheckRequest{Service: service})
			if err != nil || r.Status != wantStatus {
				t.Errorf("%q is %v, %v, want %v", service, r, err, wantStatus)
			}
		}
		w := httptest.NewRecorder()
		h.ready(w, httptest.NewRequest(http.MethodGet, readyPath, nil))
		var answer struct{ Parts map[string]string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if w.Code != wantHTTP || len(answer.Parts) != len(wantParts) {
			t.Errorf("%s answers %d, %s", readyPath, w.Code, w.Body)
		}
		for name, state := range wantParts {
			if answer.Parts[name] != state {
				t.Errorf("%s is %s, want %s", name, answer.Parts[name], state)
			}
		}
		live := httptest.NewRecorder()
		h.live(live, nil)
		if live.Code != http.StatusOK {
			t.Errorf("%s answers %d: the process runs whatever else is wrong", livePath, live.Code)
		}
	}
	check(grpchealth.StatusServing, http.StatusOK, map[string]string{"server": "ok", "store": "ok", "bus": "ok"})
	busErr = errors.New("away") // the server goes on without
	check(grpchealth.StatusServing, http.StatusOK, map[string]string{"server": "ok", "store": "ok", "bus": "unavailable"})
	storeErr = errors.New("dial: password=hunter2")
	check(grpchealth.StatusNotServing, http.StatusServiceUnavailable, map[string]string{"server": "ok", "store": "unavailable", "bus": "unavailable"})
	storeErr = nil

	told := make(chan struct{}, 1)
	stop, err := h.Watch(t.Context(), &grpchealth.CheckRequest{}, func() { told <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	h.Drain()
	<-told
	check(grpchealth.StatusNotServing, http.StatusServiceUnavailable, map[string]string{"server": "draining", "store": "ok", "bus": "unavailable"})
	stop()
	h.Drain()
	select {
	case <-told:
		t.Error("a watcher that stopped was told")
	default:
	}

	_, err = h.Check(t.Context(), &grpchealth.CheckRequest{Service: "nonsense"})
	if connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("an unknown service: %v", err)
	}
	if _, err := h.Watch(t.Context(), &grpchealth.CheckRequest{Service: "nonsense"}, nil); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("watching an unknown service: %v", err)
	}
}
