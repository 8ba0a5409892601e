-- The nodes that are alive, for those of an installation with several. Times are milliseconds since 1970 in UTC.

-- +goose Up
CREATE TABLE nodes (
  name    TEXT PRIMARY KEY,
  seen_at INTEGER NOT NULL -- by the clock of the database
);

-- +goose Down
DROP TABLE nodes;
