package account

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/natterjack-chat/natterjack/server/chat"
)

// Settings are what an operator may change. Zero values mean the defaults of [DefaultSettings].
type Settings struct {
	// SignUpClosed refuses new accounts.
	SignUpClosed bool
	// AccessTokenLife is how long an access token is valid.
	AccessTokenLife time.Duration
	// SessionLife is how long a session lives without being refreshed.
	SessionLife time.Duration
	// SessionsPerUser is how many sessions a user may have; one more ends the one that was refreshed the longest ago.
	SessionsPerUser int

	// HashCost is what one hash of a password costs.
	HashCost HashCost
	// HashesAtOnce is how many passwords are hashed at once, each with the memory of HashCost; by default one per core that Go uses, at most 8.
	HashesAtOnce int
	// HashLine is how many requests may wait for their turn to hash; one more is refused.
	HashLine int

	// SignInsHere bounds the attempts to sign in to one account from one address. A success makes the bucket full again.
	SignInsHere Rate
	// SignInsAccount bounds the attempts to sign in to one account from everywhere. It is larger, so that one address alone can't lock
	// the owner out.
	SignInsAccount Rate
	// SignInsAddress bounds the attempts to sign in from one address. Many users may share one.
	SignInsAddress Rate
	// SignUpsAddress bounds the attempts to sign up from one address.
	SignUpsAddress Rate
	// LimitLoopback makes the limits per address hold for this machine itself, too. By default they don't: it is the operator's own tools,
	// or all users at once behind a proxy that doesn't say where they come from.
	LimitLoopback bool

	// CacheTime is how long it is remembered whose a token is: how long a session that another node has ended may go on making
	// requests here where this node isn't told. At most 30 s.
	CacheTime time.Duration
	// CacheSize is how many tokens are remembered, about 300 bytes each.
	CacheSize int
}

// DefaultSettings returns the defaults.
func DefaultSettings() Settings {
	return Settings{
		AccessTokenLife: time.Hour, SessionLife: 30 * 24 * time.Hour, SessionsPerUser: 50,
		HashCost: DefaultHashCost, HashesAtOnce: defaultHashesAtOnce(), HashLine: 128,
		SignInsHere: Rate{10, time.Minute}, SignInsAccount: Rate{100, time.Minute}, SignInsAddress: Rate{100, time.Second},
		SignUpsAddress: Rate{50, 10 * time.Second},
		CacheTime:      10 * time.Second, CacheSize: 100_000,
	}
}

func (s Settings) withDefaults() Settings {
	d := DefaultSettings()
	d.SignUpClosed, d.LimitLoopback = s.SignUpClosed, s.LimitLoopback
	set(&d.AccessTokenLife, s.AccessTokenLife)
	set(&d.SessionLife, s.SessionLife)
	set(&d.SessionsPerUser, s.SessionsPerUser)
	set(&d.HashCost, s.HashCost)
	set(&d.HashesAtOnce, s.HashesAtOnce)
	set(&d.HashLine, s.HashLine)
	set(&d.SignInsHere, s.SignInsHere)
	set(&d.SignInsAccount, s.SignInsAccount)
	set(&d.SignInsAddress, s.SignInsAddress)
	set(&d.SignUpsAddress, s.SignUpsAddress)
	set(&d.CacheTime, min(s.CacheTime, 30*time.Second))
	set(&d.CacheSize, s.CacheSize)
	return d
}

// set replaces a default, unless the setting is zero.
func set[T comparable](into *T, setting T) {
	var zero T
	if setting != zero {
		*into = setting
	}
}

// Config is what a Service stands on. Store is required.
type Config struct {
	Store    Store
	Revoker  Revoker          // nil: there are no streams
	Hider    Hider            // nil: nobody follows
	Limiter  Limiter          // a [MemoryLimiter] by default
	Clock    func() time.Time // time.Now by default
	Logger   *slog.Logger     // slog.Default() by default; it gets ids and addresses, never secrets
	Settings Settings
}

// Service carries out what callers ask for. All methods are safe for concurrent use. Their errors are [*chat.Error] where the caller is
// meant to see them, and ctx's own error where ctx ended first.
type Service struct {
	store    Store
	revoker  Revoker
	hider    Hider
	limiter  Limiter
	floods   *MemoryLimiter // counts unknown tokens by address; always this node's own
	clock    func() time.Time
	logger   *slog.Logger
	settings Settings
	hasher   *hasher
	cache    *identityCache
	stats    counters
	// hiding holds one element while a change of hidden presence is stored and told, so that they are told in their order.
	hiding chan struct{}
}

// New returns a Service. It has no goroutines and needs no closing.
func New(cfg Config) *Service {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Limiter == nil {
		cfg.Limiter = NewMemoryLimiter(cfg.Clock)
	}
	settings := cfg.Settings.withDefaults()
	return &Service{
		store: cfg.Store, revoker: cfg.Revoker, hider: cfg.Hider, limiter: cfg.Limiter, floods: NewMemoryLimiter(cfg.Clock),
		clock: cfg.Clock, logger: cfg.Logger, settings: settings,
		hasher: newHasher(settings.HashCost, settings.HashesAtOnce, settings.HashLine),
		cache:  newIdentityCache(settings.CacheSize, settings.CacheTime),
		hiding: make(chan struct{}, 1),
	}
}

// now is the time as it is stored.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Millisecond) }

// Stats is a snapshot of what a Service has done since it was made.
type Stats struct {
	SignUps, SignIns, Refreshes uint64
	WrongCredentials            uint64 // also those of unknown users
	Limited                     uint64 // attempts refused because of too many
	ReusedTokens                uint64 // sessions ended because a spent refresh token was used
	// HashesWaiting and CachedTokens are of this moment.
	HashesWaiting, CachedTokens int
}

type counters struct {
	signUps, signIns, refreshes, wrong, limited, reused atomic.Uint64
}

// Stats returns a snapshot.
func (s *Service) Stats() Stats {
	return Stats{
		SignUps: s.stats.signUps.Load(), SignIns: s.stats.signIns.Load(), Refreshes: s.stats.refreshes.Load(),
		WrongCredentials: s.stats.wrong.Load(), Limited: s.stats.limited.Load(), ReusedTokens: s.stats.reused.Load(),
		HashesWaiting: int(s.hasher.waiting.Load()), CachedTokens: s.cache.len(),
	}
}

// ended makes the end of sessions, which has been stored, felt: no request of theirs is let in any more, and their streams end.
func (s *Service) ended(sessions ...chat.SessionID) {
	if len(sessions) == 0 {
		return
	}
	s.Forget(sessions)
	if s.revoker != nil {
		s.revoker.EndSessions(sessions)
	}
}

// Forget drops what is remembered of sessions that another node has ended.
func (s *Service) Forget(sessions []chat.SessionID) { s.cache.forget(sessions) }

// Ended returns those of the sessions that have ended, on whatever node, and drops what is remembered of them. It is for who has to find out by
// asking, because no node could tell.
func (s *Service) Ended(ctx context.Context, sessions []chat.SessionID) ([]chat.SessionID, error) {
	live, err := s.store.LiveSessions(ctx, sessions)
	if err != nil {
		return nil, err
	}
	var ended []chat.SessionID
	for _, id := range sessions {
		if !live[id] {
			ended = append(ended, id)
		}
	}
	s.Forget(ended)
	return ended, nil
}

// CleanUp ends sessions that have run out and forgets old tokens. Something has to call it now and then; nothing depends on when. It returns how
// many sessions it ended.
func (s *Service) CleanUp(ctx context.Context) (ended int, err error) {
	now := s.now()
	for more := true; more; {
		var ids []chat.SessionID
		ids, more, err = s.store.DeleteExpired(ctx, now, now.Add(-tellExpired), cleanUpBatch)
		if err != nil {
			return ended, err
		}
		s.ended(ids...)
		ended += len(ids)
	}
	return ended, nil
}

const (
	// tellExpired is how long a token that ran out is told from one that never was.
	tellExpired = 24 * time.Hour
	// cleanUpBatch bounds how long a clean-up keeps others from writing.
	cleanUpBatch = 500
)
