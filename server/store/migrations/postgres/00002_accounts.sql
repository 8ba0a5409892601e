-- The tables of package account. Times are milliseconds since 1970 in UTC, 0 where there is none. Hashes are SHA-256.

-- +goose Up
CREATE TABLE credentials (
  user_id       bigint PRIMARY KEY,
  password_hash text   NOT NULL, -- argon2id in the PHC string format
  version       bigint NOT NULL  -- counts the changes of the password, from 1
);

CREATE TABLE sessions (
  id           bigint PRIMARY KEY,
  user_id      bigint NOT NULL,
  series_hash  bytea  NOT NULL UNIQUE, -- of the half that all refresh tokens of the session share
  device_name  text   NOT NULL,
  address      text   NOT NULL,
  created_at   bigint NOT NULL,
  refreshed_at bigint NOT NULL,
  expires_at   bigint NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, refreshed_at);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- The newest refresh tokens of a session, a few. A secret that isn't here, of a series that is, was spent long ago.
CREATE TABLE refresh_tokens (
  session_id  bigint NOT NULL,
  secret_hash bytea  NOT NULL,
  generation  bigint NOT NULL,
  spent_at    bigint NOT NULL,
  PRIMARY KEY (session_id, secret_hash)
);

-- The user is here too, so that whose a token is takes one look-up. A session's end removes its tokens.
CREATE TABLE access_tokens (
  hash       bytea  PRIMARY KEY,
  session_id bigint NOT NULL,
  user_id    bigint NOT NULL,
  expires_at bigint NOT NULL
);
CREATE INDEX access_tokens_by_session ON access_tokens (session_id, expires_at);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

-- +goose Down
DROP TABLE access_tokens, refresh_tokens, sessions, credentials;
