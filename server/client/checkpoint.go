package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Checkpoint is where a client can resume: it has finished with all events before.
type Checkpoint struct {
	// Device is the DeviceID that the checkpoint belongs to, and Attempt the number of its newest connection.
	Device  string `json:"device"`
	Attempt uint64 `json:"attempt"`
	// Token is that of the newest finished CaughtUp; empty where there was none.
	Token []byte `json:"token,omitempty"`
	// Seqs are the last finished seq of each conversation: of all in Full mode, of the tracked ones in Window mode.
	Seqs map[string]int64 `json:"seqs,omitempty"`
}

// CheckpointStore keeps a checkpoint over restarts; FileCheckpoint is one. A consumer that must not see an event twice stores what it makes
// of the events and Client.Checkpoint in one transaction of its own instead, and gives New a store that loads it from there.
type CheckpointStore interface {
	// Load returns the checkpoint; the zero Checkpoint where there is none.
	Load() (Checkpoint, error)
	// Save replaces it as a whole.
	Save(c Checkpoint) error
}

// FileCheckpoint returns a store that keeps the checkpoint in a JSON file, mode 0600, in a folder that exists or can be made.
func FileCheckpoint(path string) CheckpointStore { return fileCheckpoint(path) }

type fileCheckpoint string

func (f fileCheckpoint) Load() (Checkpoint, error) {
	var c Checkpoint
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the checkpoint: %w", err)
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("read the checkpoint from %s: %w", string(f), err)
	}
	return c, nil
}

func (f fileCheckpoint) Save(c Checkpoint) error {
	if err := os.MkdirAll(filepath.Dir(string(f)), 0o700); err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	return writeFile(string(f), b)
}
