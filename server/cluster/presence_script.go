package cluster

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/natterjack-chat/natterjack/server/chat"
)

const (
	// recordLife is how long what is known of a user stays unless it is told again, which happens every minute: only what nobody clears away gets as old.
	recordLife = 24 * time.Hour
	// goneLife is how long it is kept when a user was last seen; the database has it by then.
	goneLife = time.Minute
	// writeUsers bounds the users of one call of the script, which keeps Redis from anything else.
	writeUsers = 64
)

// writeScript changes what a node tells of users, all of one partition, and publishes, in the same moment, all that is known now of those for whom that was
// a change. So messages on a channel come in the order of the changes, and each has a number above those before.
//
// A user's hash has a field for each node that has them connected, and two more: v, the number of the last change, and s, when the user was last seen.
//
// KEYS: the partition, the set of the node's users, then the users' hashes.
// ARGV: the verb to publish with, the channel, the node, life and life after the last entry in ms, the number of older names of the node, these
// names, then for each user: id, what the node tells (empty: nothing any more), when the user was last seen in ms (empty: nobody's business).
// It returns the number of changes, and all that is known of those who linger on the node.
var writeScript = rueidis.NewLuaScript(`
local partition, mine = KEYS[1], KEYS[2]
local verb, channel, node, life, gone, olds = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local n = redis.call('HINCRBY', partition, 'n', 1)
if n == 1 then -- new, or lost: go on above all numbers of before
  local t = redis.call('TIME')
  n = t[1] * 1000000 + t[2]
  redis.call('HSET', partition, 'n', string.format('%.0f', n))
end
local version = string.format('%.0f', n)
local news, lingering = {}, {}
local at = 7 + olds
for i = 3, #KEYS do
  local key, user, value, seen = KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2]
  at = at + 3
  local changed = false
  for j = 7, 6 + olds do
    changed = redis.call('HDEL', key, ARGV[j]) == 1 or changed
  end
  if value == '' then
    changed = redis.call('HDEL', key, node) == 1 or changed
    redis.call('SREM', mine, user)
  else
    if redis.call('HGET', key, node) ~= value then
      redis.call('HSET', key, node, value)
      changed = true
    end
    redis.call('SADD', mine, user)
    redis.call('PEXPIRE', key, life)
  end
  if changed then
    if seen ~= '' then
      redis.call('HSET', key, 's', seen)
    elseif value == '' then
      redis.call('HDEL', key, 's')
    end
    redis.call('HSET', key, 'v', version)
    local fields = redis.call('HGETALL', key)
    news[#news + 1] = user .. ' ' .. table.concat(fields, ' ')
    local left = false
    for j = 1, #fields, 2 do
      left = left or fields[j] ~= 'v' and fields[j] ~= 's'
    end
    if not left then
      redis.call('PEXPIRE', key, gone)
    end
  end
  if string.sub(value, -1) == 'l' then
    lingering[#lingering + 1] = user .. ' ' .. table.concat(redis.call('HGETALL', key), ' ')
  end
end
redis.call('PEXPIRE', mine, life)
if #news > 0 then
  local birth = redis.call('HGET', partition, 'birth') or ''
  redis.call(verb, channel, 'c ' .. birth .. ' ' .. node .. '\n' .. table.concat(news, '\n'))
end
return {tostring(#news), table.concat(lingering, '\n')}
`)

// change is what a node tells of a user: that they are connected, and how, or no longer.
type change struct {
	user     chat.UserID
	entry    entry     // its state is offline: nothing is told any more
	lastSeen time.Time // zero: nobody is to know
}

// entry is what one node tells of a user.
type entry struct {
	node    string
	state   chat.PresenceState // online or away
	lingers bool
}

func (e *entry) encode() string {
	var value string
	switch e.state {
	case chat.PresenceOnline:
		value = "o"
	case chat.PresenceAway:
		value = "a"
	default:
		return ""
	}
	if e.lingers {
		value += "l"
	}
	return value
}

func decodeEntry(node, value string) entry {
	e := entry{node: node, state: chat.PresenceOnline, lingers: strings.HasSuffix(value, "l")}
	if strings.HasPrefix(value, "a") {
		e.state = chat.PresenceAway
	}
	return e
}

// record is all that is known in Redis of a user.
type record struct {
	version  int64
	entries  []entry // of dead nodes too
	lastSeen time.Time
}

func (r *record) set(field, value string) {
	switch field {
	case "v":
		r.version, _ = strconv.ParseInt(value, 10, 64) // nobody else writes here
	case "s":
		ms, _ := strconv.ParseInt(value, 10, 64)
		r.lastSeen = time.UnixMilli(ms).UTC()
	default:
		r.entries = append(r.entries, decodeEntry(field, value))
	}
}

// write tells Redis of users of one partition, at most writeUsers, in the name of a node that had the olds as names before. It returns what is known of
// those who linger.
func (r *Redis) write(ctx context.Context, p int, node string, olds []string, changes []change) (lingering told, err error) {
	client := r.client.Load()
	verb, ok := r.subscriber.publishVerb()
	if client == nil || !ok {
		return lingering, errRedisAway
	}
	keys := []string{r.keys.partition(p), r.keys.usersOf(p, node)}
	args := []string{verb, r.keys.changes(p), node, millisText(recordLife), millisText(goneLife), strconv.Itoa(len(olds))}
	args = append(args, olds...)
	for i := range changes {
		c := &changes[i]
		seen := ""
		if !c.lastSeen.IsZero() {
			seen = strconv.FormatInt(c.lastSeen.UnixMilli(), 10)
		}
		keys = append(keys, r.keys.user(c.user))
		args = append(args, strconv.FormatInt(int64(c.user), 10), c.entry.encode(), seen)
	}
	answer, err := writeScript.Exec(ctx, *client, keys, args).AsStrSlice()
	if err != nil {
		return lingering, err
	}
	written, err := strconv.ParseInt(answer[0], 10, 64)
	r.stats.changes.Add(written)
	return lingering, errors.Join(err, lingering.parse(answer[1]))
}

func millisText(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// The messages on the channel of a partition: changes, as the script publishes them, and the news that a user hides or shows their presence.
const (
	changesMessage = "c "
	hidingMessage  = "h "
)

// told is what is said of several users.
type told struct {
	users   []chat.UserID
	records []record
}

var errBadMessage = errors.New("cluster: message about presence can't be read")

// parse reads lines: a user's id, and fields of their hash with values.
func (m *told) parse(lines string) error {
	if lines == "" {
		return nil
	}
	for line := range strings.SplitSeq(lines, "\n") {
		words := strings.Split(line, " ")
		id, err := strconv.ParseInt(words[0], 10, 64)
		if err != nil || len(words)%2 == 0 {
			return errBadMessage
		}
		var r record
		for i := 1; i < len(words); i += 2 {
			r.set(words[i], words[i+1])
		}
		m.users, m.records = append(m.users, chat.UserID(id)), append(m.records, r)
	}
	return nil
}

// parseChanges reads a message of the script, after what says that it is one.
func parseChanges(payload string) (birth string, m told, err error) {
	head, lines, _ := strings.Cut(payload, "\n")
	birth, _, ok := strings.Cut(head, " ")
	if !ok {
		return "", m, errBadMessage
	}
	err = m.parse(lines)
	return birth, m, err
}

// read reads the records of users in one round trip, and the births of their partitions. What can't be read is missing.
func (r *Redis) read(ctx context.Context, users []chat.UserID) (records map[chat.UserID]record, births map[int]string, err error) {
	client := r.client.Load()
	if client == nil {
		return nil, nil, errRedisAway
	}
	c := *client
	var commands []rueidis.Completed
	records, births = make(map[chat.UserID]record, len(users)), map[int]string{}
	asked := map[int]bool{}
	for _, user := range users {
		// The partition's number is read before its users: what is read then is at least as new.
		if p := partition(user); !asked[p] {
			asked[p] = true
			commands = append(commands, c.B().Hmget().Key(r.keys.partition(p)).Field("birth", "n").Build())
		}
		commands = append(commands, c.B().Hgetall().Key(r.keys.user(user)).Build())
	}
	results := c.DoMulti(ctx, commands...)
	numbers := map[int]int64{}
	clear(asked)
	for _, user := range users {
		p := partition(user)
		if !asked[p] {
			asked[p] = true
			if head, e := results[0].ToArray(); e == nil && len(head) == 2 {
				births[p], _ = head[0].ToString() // missing: lost
				numbers[p], _ = head[1].AsInt64() // likewise
			}
			results = results[1:]
		}
		fields, e := results[0].AsStrMap()
		results = results[1:]
		if _, ok := births[p]; e != nil || !ok {
			err = errors.Join(err, e)
			continue
		}
		var rec record
		for field, value := range fields {
			rec.set(field, value)
		}
		rec.version = max(rec.version, numbers[p])
		records[user] = rec
	}
	return records, births, err
}
