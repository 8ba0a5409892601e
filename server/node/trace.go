package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	// tracesEnd bounds how long a node waits at its end until the collector has the last spans.
	tracesEnd = 5 * time.Second
	// maxLinks is how many requests a commit names; the SDK would drop more.
	maxLinks = 128
)

// tracing tells an OpenTelemetry collector of unary requests and of commits: where it is, what is sampled and by which name the node goes are for OpenTelemetry's own
// variables to say. Nothing of a message is in a span. Safe for concurrent use.
type tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	headers  propagation.TextMapPropagator
}

// tracesWanted reads from the environment (each "NAME=value") whether there is a collector to tell. An error says that it can't be told.
func tracesWanted(environment []string) (bool, error) {
	values := make(map[string]string)
	for _, e := range environment {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, "OTEL_") {
			values[name] = value
		}
	}
	// Variables for traces alone count more than those for all that OpenTelemetry carries.
	first := func(names ...string) (name, value string) {
		i := slices.IndexFunc(names, func(name string) bool { return values[name] != "" })
		if i < 0 {
			return "", ""
		}
		return names[i], values[names[i]]
	}
	name, endpoint := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if endpoint == "" || strings.EqualFold(values["OTEL_SDK_DISABLED"], "true") || values["OTEL_TRACES_EXPORTER"] == "none" {
		return false, nil
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false, fmt.Errorf("%s has to be an http:// or https:// URL", name)
	}
	if name, protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return false, fmt.Errorf("%s is %s, and has to be http/protobuf", name, protocol)
	}
	return true, nil
}

// newTracing reads the rest of OpenTelemetry's variables from this process's environment.
func newTracing(ctx context.Context, logger *slog.Logger) (*tracing, error) {
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	// The environment comes last, and may give another name.
	about, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "natterjack")), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("traces: %w", err), exporter.Shutdown(ctx))
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("telling the collector of traces failed", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &tracing{provider, provider.Tracer("github.com/natterjack-chat/natterjack/server"), propagation.TraceContext{}}, nil
}

// close sends what has gathered.
func (t *tracing) close(logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), tracesEnd)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		logger.Warn("the last traces did not reach the collector", "error", err)
	}
}

// request begins the span of a request; see rpc.Config.Trace.
func (t *tracing) request(ctx context.Context, procedure string, header http.Header) (_ context.Context, end func(code string)) {
	name := strings.TrimPrefix(procedure, "/")
	ctx, span := t.tracer.Start(t.headers.Extract(ctx, propagation.HeaderCarrier(header)), name, trace.WithSpanKind(trace.SpanKindServer))
	if service, method, ok := strings.Cut(name, "/"); ok {
		span.SetAttributes(attribute.String("rpc.system", "connect_rpc"), attribute.String("rpc.service", service), attribute.String("rpc.method", method))
	}
	return ctx, func(code string) {
		if code != "ok" {
			span.SetAttributes(attribute.String("rpc.connect_rpc.error_code", code))
		}
		if slices.Contains(serverFaults, code) {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// serverFaults are the codes for which the server answers, rather than its client (the same as in OpenTelemetry's conventions for gRPC).
var serverFaults = []string{"unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"}

// commit tells of a transaction that is over. It stands below the first request in it that is traced, and names the others; one that carries requests of streams
// alone stands for itself.
func (t *tracing) commit(s chat.CommitStats) {
	var parent trace.SpanContext
	var links []trace.Link
	untraced := false
	for caller := range s.Callers {
		span := trace.SpanContextFromContext(caller)
		switch {
		case !span.IsSampled():
			untraced = untraced || span.IsValid()
		case !parent.IsValid():
			parent = span
		case len(links) < maxLinks:
			links = append(links, trace.Link{SpanContext: span})
		}
	}
	if untraced && !parent.IsValid() {
		return // its requests were left out of the sample
	}
	now := time.Now()
	ctx := trace.ContextWithSpanContext(context.Background(), parent)
	_, span := t.tracer.Start(ctx, "commit", trace.WithTimestamp(now.Add(-s.Duration)), trace.WithLinks(links...),
		trace.WithAttributes(attribute.Int("natterjack.commit.changes", s.Ops)))
	span.End(trace.WithTimestamp(now))
}
