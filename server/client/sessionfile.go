package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// FileSession returns a store that keeps the session in a JSON file of mode 0600, together with a lock file beside it (path + ".lock") that lets
// several processes share it. The folder is made, with mode 0700, where it is missing.
func FileSession(path string) SessionStore { return &fileSession{path: path} }

type fileSession struct{ path string }

func (f *fileSession) Load(context.Context) (*Session, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is not an error, says the interface
	}
	if err != nil {
		return nil, fmt.Errorf("read the session: %w", err)
	}
	s := new(Session)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read the session from %s: %w", f.path, err)
	}
	return s, nil
}

func (f *fileSession) Update(ctx context.Context, change func(*Session) (*Session, error)) error {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	// A lock of its own for each call: one process may have several stores on one file.
	lock := flock.New(f.path+".lock", flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("lock the session: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	old, err := f.Load(ctx)
	if err != nil {
		return err
	}
	s, err := change(old)
	if err != nil {
		return err
	}
	if s == nil {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget the session: %w", err)
		}
		return nil
	}
	b, err := json.MarshalIndent(s, "", "  ") //nolint:gosec // this is the file that keeps the secrets, for its owner alone
	if err != nil {
		return fmt.Errorf("keep the session: %w", err)
	}
	return writeFile(f.path, append(b, '\n'))
}

// writeFile replaces a file as a whole: readers see the old or the new content, also after a crash. Mode 0600.
func writeFile(path string, content []byte) error {
	t, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = t.Write(content)
	if err == nil {
		err = t.Sync()
	}
	if closeErr := t.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in a folder durable. Systems that can't sync a folder don't need it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer func() { _ = d.Close() }()
	_ = d.Sync()
	return nil
}
