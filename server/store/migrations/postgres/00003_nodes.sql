-- The nodes that are alive, for those of an installation with several: who has lost Redis is told apart from who is dead. Times are milliseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE nodes (
  name    text COLLATE "C" PRIMARY KEY,
  seen_at bigint NOT NULL -- by the clock of the database
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE nodes;
