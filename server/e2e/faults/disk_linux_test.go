package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"

	chatv1 "github.com/natterjack-chat/natterjack/gen/go/natterjack/chat/v1"
	"github.com/natterjack-chat/natterjack/server/client"
	"github.com/natterjack-chat/natterjack/server/e2e/fleet"
	"github.com/natterjack-chat/natterjack/server/internal/testservers"
)

// TestFullDiskOfPostgres takes away the room for the database's tables. Sends over both nodes are refused by the reason, reads and streams go on, and all works
// again when there is room, without a restart.
func TestFullDiskOfPostgres(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 64<<20)
	in := StartInstallation(t, InstallationOptions{Tables: disk})
	c := newCrew(t, in, 37, 4, 1)
	if err := c.Run(limit(t), fleet.Work{Seed: 37, Sends: 300}); err != nil {
		t.Fatal(err)
	}
	remove := fillUp(t, filepath.Join(disk, "ballast"))
	inject("fill PostgreSQL's disk")
	for i, r := range c.senders {
		refused := fill(limit(t), r, c.room(), 5000)
		if client.ReasonOf(refused) != chatv1.ErrorReason_ERROR_REASON_STORE_FULL || connect.CodeOf(refused) != connect.CodeResourceExhausted {
			t.Errorf("a send over node %d to a full disk ended with %v", i, refused)
		}
		if _, err := r.Page(limit(t), c.room(), 0, 0, 50); err != nil {
			t.Errorf("a read over node %d while the disk is full: %v", i, err)
		}
	}
	for _, d := range c.Devices() {
		if !d.Mirror.Live() {
			t.Errorf("%s is not live while the disk is full", d.Name)
		}
	}
	remove()
	for _, r := range c.senders {
		if _, err := r.SendUntilStored(limit(t), c.room(), uuid.NewString(), "there is room again", 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	judge(t, c.Fleet)
}

// smallDisk mounts a file system of a size, for a folder of the database server; it is gone with the test. It skips the test where nothing can be mounted.
func smallDisk(t *testing.T, bytes int) (folder string) {
	t.Helper()
	uid, gid, err := testservers.Owner()
	if err != nil {
		t.Fatal(err)
	}
	folder, err = os.MkdirTemp("", "natterjack-disk-") //nolint:usetesting // the server's user can't enter those of the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(folder) })
	options := fmt.Sprintf("size=%d,mode=0700,uid=%d,gid=%d", bytes, uid, gid)
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
		t.Skipf("a full disk of PostgreSQL needs a file system of its own, which this system doesn't let mount: %v", err)
	}
	t.Cleanup(func() { // after PostgreSQL has ended
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return folder
}
