-- The tables of package chat. Times are milliseconds since 1970 in UTC, 0 where there is none.
-- There are no foreign keys: one transaction writes all that belongs together, and the contract suite counts it over.

-- +goose Up
CREATE TABLE store_meta (
  key   TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) WITHOUT ROWID;
-- The oldest version of these migrations that a program has to know to use the tables; see checkCompatible.
INSERT INTO store_meta (key, value) VALUES ('compatible_from', 2);

CREATE TABLE users (
  id              INTEGER PRIMARY KEY,
  username        TEXT    NOT NULL,
  username_key    TEXT    NOT NULL UNIQUE, -- username in lower case
  display_name    TEXT    NOT NULL DEFAULT '',
  avatar_url      TEXT    NOT NULL DEFAULT '',
  presence_hidden INTEGER NOT NULL DEFAULT 0,
  last_seen_at    INTEGER NOT NULL DEFAULT 0,
  created_at      INTEGER NOT NULL
);

-- The words of display names, without case and accents (see foldedWords), for searches by their beginnings.
CREATE TABLE user_words (
  word    TEXT    NOT NULL,
  user_id INTEGER NOT NULL,
  PRIMARY KEY (word, user_id)
) WITHOUT ROWID;
CREATE INDEX user_words_by_user ON user_words (user_id);

CREATE TABLE conversations (
  id          INTEGER PRIMARY KEY,
  kind        INTEGER NOT NULL,
  title       TEXT    NOT NULL,
  creator_id  INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  changed_seq INTEGER NOT NULL,
  create_key  TEXT UNIQUE
);

-- The hot part of conversations: narrow, rewritten by every batch that touches the conversation.
CREATE TABLE conversation_heads (
  conversation_id  INTEGER PRIMARY KEY,
  last_seq         INTEGER NOT NULL,
  last_ordinal     INTEGER NOT NULL,
  last_message_seq INTEGER NOT NULL, -- the seq of the message with last_ordinal, 0 where there is none
  changed_no       INTEGER NOT NULL, -- the batch that last changed anything that members see in their lists
  member_count     INTEGER NOT NULL,
  owner_count      INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL,
  -- The highest read mark, whose it is, and the highest one among all others.
  top_read_seq     INTEGER NOT NULL,
  top_reader_id    INTEGER NOT NULL,
  next_read_seq    INTEGER NOT NULL
);

-- One row for every seq. The row of a message also holds the message's present state.
--
-- Rows lie in the order in which they were stored, not clustered by conversation: then a batch writes a few full pages at the end of
-- the table instead of one page per conversation. Measured with 1,000 conversations and batches of 500 (2 cores, November 2026):
-- 100,000 rows/s against 50,000 with WITHOUT ROWID and the same indexes. The id is what the search index goes by.
CREATE TABLE events (
  id              INTEGER PRIMARY KEY,
  conversation_id INTEGER NOT NULL,
  seq             INTEGER NOT NULL,
  kind            INTEGER NOT NULL,
  actor_id        INTEGER NOT NULL, -- a message's sender
  at              INTEGER NOT NULL,
  ordinal         INTEGER NOT NULL, -- of the last message at or before seq
  target_seq      INTEGER, -- the message that an edit, deletion or reaction changed
  client_id       BLOB,
  reply_to        INTEGER,
  changed_seq     INTEGER,
  edited_at       INTEGER,
  deleted_at      INTEGER,
  content         TEXT,
  reactions       TEXT, -- JSON
  subjects        TEXT  -- JSON: the ids of the users whose membership changed
);
CREATE UNIQUE INDEX events_by_seq ON events (conversation_id, seq);
-- The client id comes first: clients make ids that begin with the time (UUID version 7), so the index grows at its end, too.
-- Half the cost of a batch where it began with the conversation; with random ids (version 4) the same.
CREATE UNIQUE INDEX events_by_client_id ON events (client_id, conversation_id, actor_id) WHERE client_id IS NOT NULL;

-- Kept after a member has left.
CREATE TABLE members (
  user_id         INTEGER NOT NULL,
  conversation_id INTEGER NOT NULL,
  role            INTEGER NOT NULL,
  joined_seq      INTEGER NOT NULL,
  left_seq        INTEGER NOT NULL,
  read_seq        INTEGER NOT NULL,
  read_ordinal    INTEGER NOT NULL,
  delivered_seq   INTEGER NOT NULL,
  read_at         INTEGER NOT NULL,
  delivered_at    INTEGER NOT NULL,
  changed_no      INTEGER NOT NULL, -- the batch that last changed the row
  PRIMARY KEY (user_id, conversation_id)
) WITHOUT ROWID;
-- No mark is in an index, so that moving one rewrites one place.
CREATE UNIQUE INDEX members_by_conversation ON members (conversation_id, user_id);

-- One row for each batch and shard. Old rows are trimmed, the newest of a shard never is: the numbers go on from it.
CREATE TABLE commit_log (
  shard   INTEGER NOT NULL,
  no      INTEGER NOT NULL,
  id      INTEGER NOT NULL,
  prev_id INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  touched BLOB    NOT NULL, -- see touched.go
  PRIMARY KEY (shard, no)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE commit_log;
DROP TABLE members;
DROP TABLE events;
DROP TABLE conversation_heads;
DROP TABLE conversations;
DROP TABLE user_words;
DROP TABLE users;
DROP TABLE store_meta;
