package e2e

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	authv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/auth/v1"
	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/faults"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
)

// TestP7AStreamEndsWithItsSession ends a session in each way there is. The device's stream is told why, and gets nothing of what comes after.
func TestP7AStreamEndsWithItsSession(t *testing.T) { onNodes(t, holdsP7AStreamEndsWithItsSession) }

func holdsP7AStreamEndsWithItsSession(t *testing.T, w *world) {
	ends := []struct {
		name string
		end  func(context.Context, *fleet.Device) error
	}{
		{"signed out", func(ctx context.Context, d *fleet.Device) error {
			return second(d.Client.Auth().SignOut(ctx, &authv1.SignOutRequest{}))
		}},
		{"revoked", func(ctx context.Context, d *fleet.Device) error {
			sessions, err := d.Client.Sessions(ctx)
			if err != nil {
				return err
			}
			for _, s := range sessions {
				if s.GetCurrent() {
					return second(w.ann.Observer().Auth().RevokeSession(ctx, &authv1.RevokeSessionRequest{SessionId: s.GetId()}))
				}
			}
			return errors.New("no session is the current one")
		}},
		{"all others revoked", func(ctx context.Context, _ *fleet.Device) error {
			return second(w.ann.Observer().Auth().RevokeAllSessions(ctx, &authv1.RevokeAllSessionsRequest{KeepCurrent: true}))
		}},
		{"password changed", func(ctx context.Context, _ *fleet.Device) error {
			return second(w.ann.Observer().Auth().ChangePassword(ctx, &authv1.ChangePasswordRequest{
				CurrentPassword: fleet.Password, NewPassword: fleet.Password,
			}))
		}},
	}
	for _, tt := range ends {
		t.Run(tt.name, func(t *testing.T) {
			ctx := limit(t)
			d := must(w.ann.Device("tablet", fleet.DeviceOptions{URL: w.at(w.bob), OwnSession: true}))(t)
			if err := w.AwaitLive(ctx); err != nil {
				t.Fatal(err)
			}
			stream, before := d.Record.Current(), d.Mirror.Head(w.room)
			if err := tt.end(ctx, d); err != nil {
				t.Fatal(err)
			}
			if len(w.urls) > 1 { // the other node has two seconds
				faults.Await(t, "the other node has ended the stream", stream.Ended)
			}
			say(t, w.bobPhone, w.room, "not for the tablet")
			faults.Await(t, "the tablet knows that its session has ended", func() bool { return errors.Is(d.Ended(), client.ErrSessionEnded) })
			if reason := stream.Farewell(); reason != "GOODBYE_REASON_SESSION_REVOKED" {
				t.Errorf("the stream ended with %q", reason)
			}
			if after := d.Mirror.Head(w.room); after != before {
				t.Errorf("the tablet got seq %d, after the end of its session at %d", after, before)
			}
			if _, err := d.Client.Conversations(ctx); !errors.Is(err, client.ErrSessionEnded) && connect.CodeOf(err) != connect.CodeUnauthenticated {
				t.Errorf("a call of the ended session: %v", err)
			}
			if _, err := d.Client.Sync(ctx, nil); err == nil {
				t.Error("the ended session can sync")
			}
		})
	}
	w.clean(t)
}

// TestP7WhoIsRemovedHearsNoMore and can do no more; let in again, they get all that they missed.
func TestP7WhoIsRemovedHearsNoMore(t *testing.T) { onNodes(t, holdsP7WhoIsRemovedHearsNoMore) }

func holdsP7WhoIsRemovedHearsNoMore(t *testing.T, w *world) {
	ctx, eve := limit(t), w.raw(t, w.eve, fleet.Connect)
	say(t, w.annPhone, w.room, "for all")
	if err := w.annPhone.Remove(ctx, w.room, w.eve); err != nil {
		t.Fatal(err)
	}
	say(t, w.annPhone, w.room, "not for eve")
	tries := map[string]error{
		"send": second(eve.Send(ctx, w.room, uuid.NewString(), "let me in")),
		"read": second(eve.Page(ctx, w.room, 0, 0, 10)),
		"mark": second(eve.MarkRead(ctx, w.room, 3)),
		"type": second(eve.Chat.SetTyping(ctx, &chatv1.SetTypingRequest{ConversationId: w.room, Typing: true})),
		"look": second(eve.Chat.GetConversation(ctx, &chatv1.GetConversationRequest{ConversationId: w.room})),
		"list": second(eve.Chat.ListMembers(ctx, &chatv1.ListMembersRequest{ConversationId: w.room})),
		"come": w.evePhone.Add(ctx, w.room, w.eve),
	}
	for what, err := range tries {
		if connect.CodeOf(client.AsError(err)) != connect.CodeNotFound && client.ReasonOf(err) != chatv1.ErrorReason_ERROR_REASON_NOT_FOUND {
			t.Errorf("eve tries to %s: %v", what, err)
		}
	}
	faults.Await(t, "eve's phone has dropped the conversation", func() bool { return w.evePhone.Mirror.Head(w.room) == 0 })
	w.clean(t)

	if err := w.annPhone.Add(ctx, w.room, w.eve); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "history that eve reads", contents(t, w.eve, w.room), []string{"for all", "not for eve"})
	say(t, w.evePhone, w.room, "here again")
	w.clean(t)
}
