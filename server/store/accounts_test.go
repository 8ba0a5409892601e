package store

import (
	"testing"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/account/accounttest"
)

func TestContractOfAccounts(t *testing.T) {
	onEach(t, func(t *testing.T, newURL func(testing.TB) string) {
		accounttest.Run(t, func(t *testing.T) account.Store { return open(t, newURL(t)) })
	})
}
