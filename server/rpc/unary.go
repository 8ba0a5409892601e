package rpc

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1/authv1connect"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1/chatv1connect"
)

// procedure is one method of the schema with what serves it.
type procedure struct {
	path    string
	handler http.Handler
}

// The files of the schema have to be linked for their descriptors to be found.
var (
	_ = authv1.File_natterjack_auth_v1_auth_service_proto
	_ = chatv1.File_natterjack_chat_v1_chat_service_proto
)

// chatProcedures are all methods of ChatService.
func (s *Server) chatProcedures() []procedure {
	return []procedure{
		s.streamProcedure(),
		s.subscribeProcedure(),
		unary(s, chatv1connect.ChatServiceSendMessageProcedure, s.sendMessage),
		unary(s, chatv1connect.ChatServiceEditMessageProcedure, s.editMessage),
		unary(s, chatv1connect.ChatServiceDeleteMessageProcedure, s.deleteMessage),
		unary(s, chatv1connect.ChatServiceAddReactionProcedure, s.addReaction),
		unary(s, chatv1connect.ChatServiceRemoveReactionProcedure, s.removeReaction),
		unary(s, chatv1connect.ChatServiceSetTypingProcedure, s.setTyping),
		unary(s, chatv1connect.ChatServiceMarkReadProcedure, s.markRead),
		unary(s, chatv1connect.ChatServiceMarkDeliveredProcedure, s.markDelivered),
		unary(s, chatv1connect.ChatServiceListMessagesProcedure, s.listMessages),
		unary(s, chatv1connect.ChatServiceSyncProcedure, s.sync),
		unary(s, chatv1connect.ChatServiceListEventsProcedure, s.listEvents),
		unary(s, chatv1connect.ChatServiceCreateConversationProcedure, s.createConversation),
		unary(s, chatv1connect.ChatServiceGetConversationProcedure, s.getConversation),
		unary(s, chatv1connect.ChatServiceListConversationsProcedure, s.listConversations),
		unary(s, chatv1connect.ChatServiceUpdateConversationProcedure, s.updateConversation),
		unary(s, chatv1connect.ChatServiceAddMembersProcedure, s.addMembers),
		unary(s, chatv1connect.ChatServiceRemoveMemberProcedure, s.removeMember),
		unary(s, chatv1connect.ChatServiceUpdateMemberProcedure, s.updateMember),
		unary(s, chatv1connect.ChatServiceListMembersProcedure, s.listMembers),
		unary(s, chatv1connect.ChatServiceGetPresenceProcedure, s.getPresence),
		unary(s, chatv1connect.ChatServiceGetUsersProcedure, s.getUsers),
		unary(s, chatv1connect.ChatServiceSearchUsersProcedure, s.searchUsers),
		unary(s, chatv1connect.ChatServiceSearchMessagesProcedure, s.searchMessages),
	}
}

// authProcedures are all methods of AuthService.
func (s *Server) authProcedures() []procedure {
	a := s.config.Auth
	return []procedure{
		unary(s, authv1connect.AuthServiceSignUpProcedure, a.SignUp),
		unary(s, authv1connect.AuthServiceSignInProcedure, a.SignIn),
		unary(s, authv1connect.AuthServiceRefreshSessionProcedure, a.RefreshSession),
		unary(s, authv1connect.AuthServiceSignOutProcedure, a.SignOut),
		unary(s, authv1connect.AuthServiceListSessionsProcedure, a.ListSessions),
		unary(s, authv1connect.AuthServiceRevokeSessionProcedure, a.RevokeSession),
		unary(s, authv1connect.AuthServiceRevokeAllSessionsProcedure, a.RevokeAllSessions),
		unary(s, authv1connect.AuthServiceChangePasswordProcedure, a.ChangePassword),
		unary(s, authv1connect.AuthServiceGetAccountProcedure, a.GetAccount),
		unary(s, authv1connect.AuthServiceUpdateProfileProcedure, a.UpdateProfile),
	}
}

// anonymous are the procedures that need no token, because they are how one gets it. All others need one.
var anonymous = map[string]bool{
	authv1connect.AuthServiceSignUpProcedure:         true,
	authv1connect.AuthServiceSignInProcedure:         true,
	authv1connect.AuthServiceRefreshSessionProcedure: true,
}

// options are what every procedure has in common.
func (s *Server) options(path string) []connect.HandlerOption {
	method := descriptorOf(path)
	level := descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
	if o, ok := method.Options().(*descriptorpb.MethodOptions); ok {
		level = o.GetIdempotencyLevel()
	}
	o := []connect.HandlerOption{codecs(), connect.WithSchema(method), connect.WithIdempotency(connect.IdempotencyLevel(level))}
	if !anonymous[path] {
		o = append(o, connect.WithRequestGate(s.gate))
	}
	return o
}

func descriptorOf(path string) protoreflect.MethodDescriptor {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "."))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	method, ok := d.(protoreflect.MethodDescriptor)
	if err != nil || !ok {
		panic("rpc: no method " + path + " in the schema") // at start, by a fault in the lists above
	}
	return method
}

// unary serves a method that takes and returns one message: it decodes and checks the request, calls the method, and maps its error.
func unary[Req, Res any](s *Server, path string, method func(context.Context, *Req) (*Res, error)) procedure {
	options := append(s.options(path), compression(&s.limits))
	h := connect.NewUnaryHandler(path, func(ctx context.Context, r *connect.Request[received[Req]]) (*connect.Response[Res], error) {
		res, err := call(ctx, s, r.Msg, method)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		requestFrom(ctx).note(0, nil)
		return connect.NewResponse(res), nil
	}, options...)
	return procedure{path, s.unaryLimits(h)}
}

// call runs a method on a request that may be anything. A panic in it is that request's error.
func call[Req, Res any](ctx context.Context, s *Server, r *received[Req], method func(context.Context, *Req) (*Res, error)) (res *Res, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			res, err = nil, panicked(fault)
		}
	}()
	if r.err != nil {
		return nil, r.err
	}
	if err := s.validator.check(r.target()); err != nil {
		return nil, err
	}
	return method(ctx, &r.msg)
}

// panicked is a panic as an error, which is logged with the place it came from.
func panicked(fault any) error { return &panicError{fault, debug.Stack()} }

type panicError struct {
	fault any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.fault, p.stack) }
