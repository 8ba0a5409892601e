package accounttest_test

import (
	"testing"

	"github.com/natterjack-chat/natterjack/server/account"
	"github.com/natterjack-chat/natterjack/server/account/accounttest"
)

func TestMemoryStoreHoldsTheContract(t *testing.T) {
	accounttest.Run(t, func(*testing.T) account.Store { return accounttest.NewMemory() })
}
