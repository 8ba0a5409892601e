package rpc

import (
	"errors"
	"fmt"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/chat"
)

// validator holds requests to the rules that the schema states. One function serves unary calls and streams.
type validator struct {
	rules protovalidate.Validator
}

// newValidator prepares the rules of all requests, so that none is compiled while a client waits, and a fault in one shows at start.
func newValidator() (*validator, error) {
	var requests []protoreflect.MessageDescriptor
	for _, file := range []protoreflect.FileDescriptor{
		chatv1.File_natterjack_chat_v1_chat_service_proto, authv1.File_natterjack_auth_v1_auth_service_proto,
	} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				requests = append(requests, methods.Get(j).Input())
			}
		}
	}
	rules, err := protovalidate.New(protovalidate.WithMessageDescriptors(requests...), protovalidate.WithDisableLazy(), protovalidate.WithFailFast())
	if err != nil {
		return nil, fmt.Errorf("preparing the schema's rules: %w", err)
	}
	return &validator{rules}, nil
}

// check returns an INVALID_FIELD error that names the first field which breaks a rule.
func (v *validator) check(m proto.Message) error {
	err := v.rules.Validate(m)
	if err == nil {
		return nil
	}
	var broken *protovalidate.ValidationError
	if !errors.As(err, &broken) || len(broken.Violations) == 0 {
		return fmt.Errorf("checking %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	first := broken.Violations[0].Proto
	field := protovalidate.FieldPathString(first.GetField())
	text := first.GetMessage()
	if first.GetRuleId() == "string.pattern" {
		text = "it has characters, or a form, that aren't allowed here; the schema's comment on the field says which are"
	}
	if field != "" {
		text = field + ": " + text
	}
	return chat.Invalid(field, text)
}
