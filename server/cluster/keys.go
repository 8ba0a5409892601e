package cluster

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// partitions is the number of parts that users are divided into by their ids, each on one server of a Redis Cluster. All nodes have to agree on it.
const partitions = 16

// partition tells which part a user belongs to. Ids are random in their low bits.
func partition(user chat.UserID) int { return int(uint64(user) % partitions) }

// keys names everything that is in Redis: this file is the whole list. What stands in braces decides which server of a cluster has it, so that what one
// script or pipeline touches together is together.
//
//	nj:{b7}                 channel    batches of log shard 7
//	nj:{s}                  channel    signals between hubs
//	nj:{p3}                 hash       age and count of changes of partition 3
//	nj:{p3}:c               channel    changes of the users in partition 3
//	nj:{p3}:u:<user>        hash       of a user: the nodes that have them connected, and how
//	nj:{p3}:n:<node>        set        the users of partition 3 that a node has told of
//	nj:{n}                  set        the nodes
//	nj:{n}:l:<node>         string     a node's lease: there as long as it lives
//	nj:{n}:r:<node>         string     who clears up after a dead node
//	nj:l:<kind>:<hash>      string     a bucket of attempts
type keys struct{ prefix string }

func (k keys) batches(shard int) string { return k.prefix + ":{b" + strconv.Itoa(shard) + "}" }

func (k keys) signals() string { return k.prefix + ":{s}" }

func (k keys) partition(p int) string { return k.prefix + ":{p" + strconv.Itoa(p) + "}" }

func (k keys) changes(p int) string { return k.partition(p) + ":c" }

func (k keys) user(id chat.UserID) string {
	return k.partition(partition(id)) + ":u:" + strconv.FormatInt(int64(id), 10)
}

func (k keys) usersOf(p int, node string) string { return k.partition(p) + ":n:" + node }

func (k keys) nodes() string { return k.prefix + ":{n}" }

func (k keys) lease(node string) string { return k.nodes() + ":l:" + node }

func (k keys) reap(node string) string { return k.nodes() + ":r:" + node }

// bucket hides for whom attempts are counted: addresses and names have no business in Redis.
func (k keys) bucket(kind, key string) string {
	h := sha256.Sum256([]byte(key))
	return k.prefix + ":l:" + kind + ":" + base64.RawURLEncoding.EncodeToString(h[:18])
}
