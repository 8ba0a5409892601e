package history

import (
	"fmt"
	"maps"
	"slices"
)

// checkViews holds that each device ends with what a fresh client of its user fetches (I7), and that with the log (I4).
func (c *checker) checkViews() {
	for d, mirror := range c.Mirrors {
		for _, diff := range Diff(mirror, c.Fresh[d.User]) {
			c.report.add(Violation{Converged, d.Name, diff.Conversation, 0, diff.Text})
		}
	}
	for user, views := range c.Fresh {
		for id, v := range views {
			messages := map[int64]Message{}
			for _, m := range c.messages[id] {
				messages[m.Seq] = m
			}
			if diff := diffMaps("message", v.Messages, messages); diff != "" {
				c.report.inLog(AsStored, id, "history as %s reads it is not the log: %s", user, diff)
			}
			if v.Head != c.head(id) {
				c.report.inLog(AsStored, id, "%s reads the head %d; the log ends at %d", user, v.Head, c.head(id))
			}
		}
	}
}

// Difference is what a device has otherwise than a fresh client.
type Difference struct{ Conversation, Text string }

// Diff compares what a device has with what a fresh client has.
func Diff(device, fresh map[string]*View) []Difference {
	var out []Difference
	add := func(id, format string, args ...any) { out = append(out, Difference{id, fmt.Sprintf(format, args...)}) }
	for _, id := range slices.Sorted(maps.Keys(fresh)) {
		d, f := device[id], fresh[id]
		if d == nil {
			add(id, "the device doesn't have the conversation")
			continue
		}
		if d.Title != f.Title || d.Head != f.Head || d.Unread != f.Unread {
			add(id, "the device has title %q, head %d, %d unread; fresh are %q, %d, %d", d.Title, d.Head, d.Unread, f.Title, f.Head, f.Unread)
		}
		for _, diff := range []string{
			diffMaps("member", d.Members, f.Members), diffMaps("marks of", d.Marks, f.Marks), diffMaps("message", d.Messages, f.Messages),
		} {
			if diff != "" {
				add(id, "device and fresh fetch differ: %s", diff)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(device)) {
		if fresh[id] == nil {
			add(id, "the device has the conversation; a fresh client doesn't get it")
		}
	}
	return out
}

// diffMaps describes the first difference and counts them; empty where there is none.
func diffMaps[K comparable, V comparable](what string, a, b map[K]V) string {
	first, n := "", 0
	note := func(format string, args ...any) {
		if n++; n == 1 {
			first = fmt.Sprintf(format, args...)
		}
	}
	for k, v := range a {
		if w, ok := b[k]; !ok {
			note("%s %v is only on the first side: %+v", what, k, v)
		} else if v != w {
			note("%s %v is %+v and %+v", what, k, v, w)
		}
	}
	for k, w := range b {
		if _, ok := a[k]; !ok {
			note("%s %v is only on the second side: %+v", what, k, w)
		}
	}
	if n > 1 {
		return fmt.Sprintf("%s (and %d more)", first, n-1)
	}
	return first
}

// checkPresence holds that users are online exactly while a device of theirs is (I11).
func (c *checker) checkPresence() {
	for _, p := range c.Presence {
		if p.Online != p.Should {
			c.report.add(Violation{PresenceTrue, p.Watcher, "", 0, fmt.Sprintf("%s is seen online: %t; is: %t", p.User, p.Online, p.Should)})
		}
	}
}
