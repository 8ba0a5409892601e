package cluster

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// errRedisURL never shows the URL, which may hold a password.
var errRedisURL = errors.New("it has to be a URL such as redis://host:6379, rediss://user:password@host:6379 (TLS), " +
	"redis://host1:6379,host2:6379 (a cluster) or redis+sentinel://host1:26379,host2:26379/mymaster")

// Time limits of connections. Redis is near, and whoever waits for it could go on without it.
const (
	dialTimeout = 2 * time.Second
	// A connection on which nothing came for silence is asked for a sign of life, and given up if none comes within answerTimeout.
	silence       = time.Second
	answerTimeout = 2 * time.Second
	// topologyEvery is how often it is asked which server does what, besides when something went wrong.
	topologyEvery = 5 * time.Second
)

// parseRedisURL understands what rueidis does, and besides several hosts with commas between, and +sentinel in the scheme: the path then
// begins with the master's name, and sentinel_username and sentinel_password are those of the sentinels.
func parseRedisURL(s string) (rueidis.ClientOption, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	scheme, sentinel := strings.CutSuffix(scheme, "+sentinel")
	first, others, tail := splitHosts(rest)
	u, err := url.Parse(scheme + "://" + first + tail)
	if err != nil || !ok || u.Host == "" && scheme != "unix" {
		return rueidis.ClientOption{}, errRedisURL
	}
	query := u.Query()
	for _, host := range others {
		query.Add("addr", host)
	}
	if sentinel {
		name, database, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if name == "" {
			return rueidis.ClientOption{}, errors.New("redis+sentinel:// needs the name of the master after the hosts, such as /mymaster")
		}
		query.Set("master_set", name)
		u.Path = "/" + database
	}
	if u.Path == "/" {
		u.Path = ""
	}
	u.RawQuery = query.Encode()
	o, err := rueidis.ParseURL(u.String())
	if err != nil || scheme != "unix" && slices.ContainsFunc(append(query["addr"], u.Host), badHost) {
		return rueidis.ClientOption{}, errRedisURL
	}
	o.Sentinel.Username, o.Sentinel.Password = query.Get("sentinel_username"), query.Get("sentinel_password")
	return withDefaults(o), nil
}

// badHost finds what rueidis would read as something else.
func badHost(host string) bool {
	if !strings.Contains(strings.TrimPrefix(host, "["), ":") {
		return host == ""
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return !strings.HasSuffix(host, "]") // an IPv6 address without a port
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return name == "" || err != nil
}

// splitHosts takes the part of a URL after its scheme apart, so that what others holds can be left out: user and first host, more hosts, all that follows.
func splitHosts(rest string) (first string, others []string, tail string) {
	end := len(rest)
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		end = i
	}
	authority, tail := rest[:end], rest[end:]
	at := strings.LastIndexByte(authority, '@') + 1
	hosts := strings.Split(authority[at:], ",")
	return authority[:at] + hosts[0], hosts[1:], tail
}

func withDefaults(o rueidis.ClientOption) rueidis.ClientOption {
	if o.Dialer.Timeout == 0 {
		o.Dialer.Timeout = dialTimeout
	}
	o.Dialer.KeepAlive = silence
	if o.ConnWriteTimeout == 0 {
		o.ConnWriteTimeout = answerTimeout
	}
	if o.TLSConfig != nil && (len(o.InitAddress) > 1 || o.Sentinel.MasterSet != "") {
		o.TLSConfig.ServerName = "" // each server has its own
	}
	if o.Sentinel.MasterSet != "" {
		o.Sentinel.Dialer = o.Dialer
		o.Sentinel.TopologyRefreshInterval = topologyEvery
		if o.TLSConfig != nil {
			o.Sentinel.TLSConfig = &tls.Config{MinVersion: o.TLSConfig.MinVersion, InsecureSkipVerify: o.TLSConfig.InsecureSkipVerify} //nolint:gosec // only where the URL says skip_verify
		}
	}
	o.ClusterOption.ShardsRefreshInterval = topologyEvery
	o.DisableCache = true // nothing is read twice that others may change
	return o
}
