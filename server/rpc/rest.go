package rpc

import (
	"net/http"
	"net/url"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// messagesPath is the REST form of ListMessages, for tools that know nothing but HTTP and JSON.
const messagesPath = "/api/messages"

// restMessages answers GET /api/messages. It is ListMessages in other clothes: the same checks, the same method, the same errors.
func (s *Server) restMessages(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	body, err := func() ([]byte, error) {
		if err := s.authenticate(ctx, r.Header); err != nil {
			return nil, err
		}
		var in received[chatv1.ListMessagesRequest]
		in.err = messagesQuery(r.URL.RawQuery, &in.msg)
		res, err := call(ctx, s, &in, s.listMessages)
		if err != nil {
			return nil, err
		}
		// What has its default value is there too: who reads this has no schema to know it from.
		return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(res)
	}()
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	requestFrom(ctx).note(0, nil)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "private, no-store")
	_, _ = w.Write(body)
}

// messagesQuery reads the parameters into the request; each at most once, and no others.
func messagesQuery(raw string, into *chatv1.ListMessagesRequest) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return chat.Invalid("", "the query can't be read: "+err.Error())
	}
	for name, values := range query {
		if len(values) > 1 {
			return chat.Invalid(name, name+" is given more than once")
		}
		value := values[0]
		switch name {
		case "conversationId":
			into.ConversationId, err = value, nil
		case "limit":
			into.Limit, err = number[int32](value, 32)
		case "beforeSeq":
			into.BeforeSeq, err = number[int64](value, 64)
		case "afterSeq":
			into.AfterSeq, err = number[int64](value, 64)
		case "aroundSeq":
			into.AroundSeq, err = number[int64](value, 64)
		default:
			return chat.Invalid(name, name+" is no parameter of this call: it takes conversationId, limit, beforeSeq, afterSeq and aroundSeq")
		}
		if err != nil {
			return chat.Invalid(name, name+" has to be a whole number")
		}
	}
	return nil
}

func number[T int32 | int64](s string, bits int) (T, error) {
	n, err := strconv.ParseInt(s, 10, bits)
	return T(n), err
}
