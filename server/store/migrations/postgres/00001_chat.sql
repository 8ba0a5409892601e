-- The tables of package chat. Times are milliseconds since 1970 in UTC, 0 where there is none, as in the tables of SQLite, so that both
-- are read by the same code.
-- There are no foreign keys: they would lock a conversation's row for every event, one transaction writes all that belongs together, and
-- the contract suite counts it over.
--
-- events is one table. Partitions by log shard were measured (16 of them, 2 cores, November 2026): batches of 100 to 500 events took
-- 18 to 23 % longer, a page of history 12 %, and every statement that can't be pruned when it is planned locks all of them.

-- +goose Up
CREATE TABLE store_meta (
  key   text COLLATE "C" PRIMARY KEY,
  value bigint NOT NULL
);
-- The oldest version of these migrations that a program has to know to use the tables; see checkCompatible.
INSERT INTO store_meta (key, value) VALUES ('compatible_from', 2);

CREATE TABLE users (
  id              bigint PRIMARY KEY,
  username        text    NOT NULL,
  username_key    text COLLATE "C" NOT NULL UNIQUE, -- username in lower case
  display_name    text    NOT NULL DEFAULT '',
  avatar_url      text    NOT NULL DEFAULT '',
  presence_hidden boolean NOT NULL DEFAULT false,
  last_seen_at    bigint  NOT NULL DEFAULT 0,
  created_at      bigint  NOT NULL
) WITH (fillfactor = 80);

-- The words of display names, without case and accents (see foldedWords), for searches by their beginnings. Letters need no trigrams for that,
-- which could not find beginnings shorter than three letters.
CREATE TABLE user_words (
  word    text COLLATE "C" NOT NULL,
  user_id bigint NOT NULL,
  PRIMARY KEY (word, user_id)
);
CREATE INDEX user_words_by_user ON user_words (user_id);

CREATE TABLE conversations (
  id          bigint   PRIMARY KEY,
  kind        smallint NOT NULL,
  title       text     NOT NULL,
  creator_id  bigint   NOT NULL,
  created_at  bigint   NOT NULL,
  changed_seq bigint   NOT NULL,
  create_key  text COLLATE "C" CONSTRAINT conversations_create_key UNIQUE
);

-- The hot part of conversations: narrow, rewritten by every batch that touches the conversation. No updated column is in an index, and pages
-- have room, so that new versions of a row stay on its page and are cleared away without a vacuum.
CREATE TABLE conversation_heads (
  conversation_id  bigint PRIMARY KEY,
  last_seq         bigint NOT NULL,
  last_ordinal     bigint NOT NULL,
  last_message_seq bigint NOT NULL, -- the seq of the message with last_ordinal, 0 where there is none
  changed_no       bigint NOT NULL, -- the batch that last changed anything that members see in their lists
  member_count     bigint NOT NULL,
  owner_count      bigint NOT NULL,
  updated_at       bigint NOT NULL,
  -- The highest read mark, whose it is, and the highest one among all others.
  top_read_seq     bigint NOT NULL,
  top_reader_id    bigint NOT NULL,
  next_read_seq    bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- One row for every seq. The row of a message also holds the message's present state. A tenth of a page is kept for edits and reactions.
CREATE TABLE events (
  conversation_id bigint   NOT NULL,
  seq             bigint   NOT NULL,
  at              bigint   NOT NULL,
  ordinal         bigint   NOT NULL, -- of the last message at or before seq
  actor_id        bigint   NOT NULL, -- a message's sender
  target_seq      bigint,            -- the message that an edit, deletion or reaction changed
  reply_to        bigint,
  changed_seq     bigint,
  edited_at       bigint,
  deleted_at      bigint,
  kind            smallint NOT NULL,
  client_id       bytea,
  content         text,
  reactions       text,              -- JSON
  subjects        text,              -- JSON: the ids of the users whose membership changed
  words           tsvector,          -- of content, for searching; NULL where there are none
  CONSTRAINT events_by_seq PRIMARY KEY (conversation_id, seq)
) WITH (fillfactor = 90, autovacuum_analyze_scale_factor = 0.05);
-- The client id comes first: clients make ids that begin with the time (UUID version 7), so the index grows at its end.
CREATE UNIQUE INDEX events_by_client_id ON events (client_id, conversation_id, actor_id) WHERE client_id IS NOT NULL;
-- Words are gathered in a list and merged into the index by store.Maintain: 1 µs for a message of ten words in its commit instead of 33 µs, and 10 µs
-- later. The limit (in kB) is where commits themselves would begin to merge; it stops them for seconds.
CREATE INDEX events_by_words ON events USING gin (words) WITH (fastupdate = on, gin_pending_list_limit = 1048576);

-- Kept after a member has left. No mark is in an index.
CREATE TABLE members (
  user_id         bigint   NOT NULL,
  conversation_id bigint   NOT NULL,
  joined_seq      bigint   NOT NULL,
  left_seq        bigint   NOT NULL,
  read_seq        bigint   NOT NULL,
  read_ordinal    bigint   NOT NULL,
  delivered_seq   bigint   NOT NULL,
  read_at         bigint   NOT NULL,
  delivered_at    bigint   NOT NULL,
  changed_no      bigint   NOT NULL, -- the batch that last changed the row
  role            smallint NOT NULL,
  PRIMARY KEY (user_id, conversation_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX members_by_conversation ON members (conversation_id, user_id);

-- One row for each batch and shard. Old rows are trimmed, the newest of a shard never is: the numbers go on from it.
CREATE TABLE commit_log (
  no      bigint NOT NULL,
  id      bigint NOT NULL,
  prev_id bigint NOT NULL,
  at      bigint NOT NULL,
  shard   integer NOT NULL,
  touched bytea  NOT NULL, -- see touched.go
  PRIMARY KEY (shard, no)
) WITH (autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE commit_log ALTER COLUMN touched SET STORAGE EXTERNAL; -- compressing ids costs more than it saves

-- +goose Down
DROP TABLE commit_log, members, events, conversation_heads, conversations, user_words, users, store_meta;
