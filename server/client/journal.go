package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/gofrs/flock"
)

// FileOutbox opens an outbox that is kept in a file, mode 0600, with a lock file beside it (path + ".lock"); the folder is made where it is missing.
// One process at a time may have it open: for others the error is ErrOutboxLocked.
//
// The file is a journal of lines, "checksum record". Puts are synced to the disk; the rest may be lost in a crash, which costs a repetition.
// A last line that a crash has cut short is dropped; damage anywhere else is an error. A journal that is mostly past is written anew.
func FileOutbox(path string) (OutboxStore, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if ok, err := lock.TryLock(); err != nil {
		return nil, fmt.Errorf("lock the outbox: %w", err)
	} else if !ok {
		return nil, ErrOutboxLocked
	}
	j := &journal{path: path, lock: lock, items: map[string]*journalItem{}}
	if err := j.open(); err != nil {
		_ = lock.Unlock()
		return nil, err
	}
	return j, nil
}

// ErrOutboxLocked is returned by FileOutbox where another process has the file open.
var ErrOutboxLocked = errors.New("client: the outbox is in use by another process")

// compactAbove is the size from which on a journal that is more than half past is written anew.
const compactAbove = 64 << 10

// journal is the OutboxStore of FileOutbox.
type journal struct {
	path  string
	lock  *flock.Flock
	file  *os.File
	size  int64 // of the file
	live  int64 // bytes of the puts of what is still there
	order []string
	items map[string]*journalItem
}

type journalItem struct {
	OutboxItem
	size int64 // of its put
}

// record is one line: one of its fields is set.
type record struct {
	Put    *OutboxItem `json:"put,omitempty"`
	Ack    string      `json:"ack,omitempty"`
	Remove string      `json:"remove,omitempty"`
}

// sizedRecord is a record with the bytes of its line.
type sizedRecord struct {
	record
	size int64
}

func (j *journal) open() error {
	b, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open the outbox: %w", err)
	}
	records, good, err := decodeJournal(b)
	if err != nil {
		return fmt.Errorf("open the outbox %s: %w", j.path, err)
	}
	for _, r := range records {
		j.apply(r.record, r.size)
	}
	j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the outbox: %w", err)
	}
	if err = j.file.Truncate(int64(good)); err == nil {
		_, err = j.file.Seek(int64(good), 0)
	}
	if err == nil {
		err = syncDir(filepath.Dir(j.path))
	}
	if err != nil {
		_ = j.file.Close()
		return fmt.Errorf("open the outbox: %w", err)
	}
	j.size = int64(good)
	return nil
}

// decodeJournal returns the records and how many bytes of b they take. What follows is a line cut short.
func decodeJournal(b []byte) (records []sizedRecord, good int, err error) {
	for rest := b; len(rest) > 0; {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		r, ok := decodeLine(line)
		if !ok || !whole {
			if hasGoodLine(after) {
				return nil, 0, fmt.Errorf("line %d is damaged", len(records)+1)
			}
			return records, good, nil
		}
		records = append(records, sizedRecord{r, int64(len(line) + 1)})
		good += len(line) + 1
		rest = after
	}
	return records, good, nil
}

func hasGoodLine(b []byte) bool {
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		if _, ok := decodeLine(line); ok {
			return true
		}
	}
	return false
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encodeLine returns "8 hex digits of CRC-32C, space, JSON, newline".
func encodeLine(r record) ([]byte, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the outbox: %w", err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(b, castagnoli), b), nil
}

func decodeLine(line []byte) (r record, ok bool) {
	if len(line) < 10 || line[8] != ' ' {
		return r, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) || json.Unmarshal(line[9:], &r) != nil {
		return record{}, false
	}
	set := 0
	for _, is := range []bool{r.Put != nil && r.Put.ClientID != "", r.Ack != "", r.Remove != ""} {
		if is {
			set++
		}
	}
	return r, set == 1
}

func (j *journal) apply(r record, size int64) {
	switch {
	case r.Put != nil:
		if item := j.items[r.Put.ClientID]; item != nil {
			item.Acknowledged = false
			return
		}
		j.items[r.Put.ClientID] = &journalItem{*r.Put, size}
		j.order = append(j.order, r.Put.ClientID)
		j.live += size
	case r.Ack != "":
		if item := j.items[r.Ack]; item != nil {
			item.Acknowledged = true
		}
	case r.Remove != "":
		if item := j.items[r.Remove]; item != nil {
			j.live -= item.size
			delete(j.items, r.Remove)
			if i := slices.Index(j.order, r.Remove); i >= 0 {
				j.order = slices.Delete(j.order, i, i+1)
			}
		}
	}
}

func (j *journal) Load() ([]OutboxItem, error) {
	items := make([]OutboxItem, 0, len(j.order))
	for _, id := range j.order {
		items = append(items, j.items[id].OutboxItem)
	}
	return items, nil
}

func (j *journal) Put(item OutboxItem) error {
	if err := j.append(record{Put: &item}); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write the outbox: %w", err)
	}
	return nil
}

func (j *journal) Acknowledge(clientID string) error { return j.append(record{Ack: clientID}) }

func (j *journal) Remove(clientID string) error { return j.append(record{Remove: clientID}) }

func (j *journal) append(r record) error {
	if j.file == nil {
		return ErrClosed
	}
	line, err := encodeLine(r)
	if err != nil {
		return err
	}
	if _, err := j.file.WriteAt(line, j.size); err != nil { // a line half written is overwritten by the next
		return fmt.Errorf("write the outbox: %w", err)
	}
	j.size += int64(len(line))
	j.apply(r, int64(len(line)))
	if j.size > compactAbove && j.size > 2*j.live {
		return j.compact()
	}
	return nil
}

// compact writes what is still there to a new file, which then takes the old one's place.
func (j *journal) compact() error {
	var b []byte
	for _, id := range j.order {
		records := []record{{Put: &j.items[id].OutboxItem}}
		if j.items[id].Acknowledged {
			records = append(records, record{Ack: id})
		}
		for _, r := range records {
			line, err := encodeLine(r)
			if err != nil {
				return err
			}
			b = append(b, line...)
		}
	}
	if err := writeFile(j.path, b); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the outbox: %w", err)
	}
	_ = j.file.Close()
	j.file, j.size = f, int64(len(b))
	return nil
}

func (j *journal) Close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	if unlockErr := j.lock.Unlock(); err == nil {
		err = unlockErr
	}
	if err != nil {
		return fmt.Errorf("close the outbox: %w", err)
	}
	return nil
}
