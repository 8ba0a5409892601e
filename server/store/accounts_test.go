package store

import (
	"testing"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/account/accounttest"
)

func TestSQLiteHoldsTheContractOfAccounts(t *testing.T) {
	accounttest.Run(t, func(t *testing.T) account.Store {
		s, err := Open(t.Context(), Options{URL: "sqlite:" + t.TempDir() + "/accounts.db"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	})
}
