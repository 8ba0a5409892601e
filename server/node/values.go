package node

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kinds of settings: each a [flag.Value] on the field of a Config, whose error says what the value has to be.

type textValue struct{ to *string }

func text(to *string) flag.Value       { return textValue{to} }
func (v textValue) Set(s string) error { *v.to = s; return nil }
func (v textValue) String() string     { return orEmpty(v.to) }

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

type choiceValue struct {
	to   *string
	from []string
}

func choice(to *string, from ...string) flag.Value { return choiceValue{to, from} }
func (v choiceValue) String() string               { return orEmpty(v.to) }
func (v choiceValue) Set(s string) error {
	if !slices.Contains(v.from, s) {
		return fmt.Errorf("it has to be %s", strings.Join(v.from, " or "))
	}
	*v.to = s
	return nil
}

type levelValue struct{ to *slog.Level }

func (v levelValue) String() string {
	if v.to == nil {
		return ""
	}
	return strings.ToLower(v.to.String())
}

func (v levelValue) Set(s string) error {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(s)) {
		return errors.New("it has to be debug, info, warn or error")
	}
	return v.to.UnmarshalText([]byte(s))
}

type openClosed struct{ closed *bool }

func (v *openClosed) String() string {
	if v.closed != nil && *v.closed {
		return "closed"
	}
	return "open"
}

func (v *openClosed) Set(s string) error {
	if s != "open" && s != "closed" {
		return errors.New("it has to be open or closed")
	}
	*v.closed = s == "closed"
	return nil
}

type numberValue struct {
	to          *int
	least, most int
}

func number(to *int, least, most int) flag.Value { return numberValue{to, least, most} }

func (v numberValue) String() string {
	if v.to == nil {
		return ""
	}
	return strconv.Itoa(*v.to)
}

func (v numberValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.least || n > v.most {
		return fmt.Errorf("it has to be a whole number from %d to %d", v.least, v.most)
	}
	*v.to = n
	return nil
}

type durationValue struct {
	to          *time.Duration
	least, most time.Duration
}

func duration(to *time.Duration, least, most time.Duration) flag.Value {
	return durationValue{to, least, most}
}

func (v durationValue) String() string {
	if v.to == nil {
		return ""
	}
	return v.to.String()
}

func (v durationValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < v.least || d > v.most {
		return fmt.Errorf("it has to be a time from %v to %v, such as 30s or 1m30s", v.least, v.most)
	}
	*v.to = d
	return nil
}

type prefixes struct{ to *[]netip.Prefix }

func (v *prefixes) String() string {
	if v.to == nil {
		return ""
	}
	out := make([]string, len(*v.to))
	for i, p := range *v.to {
		out[i] = p.String()
	}
	return strings.Join(out, ",")
}

func (v *prefixes) Set(s string) error {
	var list []netip.Prefix
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		p, err := netip.ParsePrefix(part)
		if a, aerr := netip.ParseAddr(part); aerr == nil {
			p, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return errors.New("it has to be networks or addresses, such as 10.0.0.0/8,192.168.1.7")
		}
		list = append(list, p.Masked())
	}
	*v.to = list
	return nil
}

type originList struct{ to *[]string }

func (v *originList) String() string {
	if v.to == nil {
		return ""
	}
	return strings.Join(*v.to, ",")
}

func (v *originList) Set(s string) error {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		u, err := url.Parse(part)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || part != u.Scheme+"://"+strings.ToLower(u.Host) || strings.Contains(part, "*") {
			return errors.New("it has to be origins as browsers write them, such as https://chat.example.com or http://localhost:5173: in lower case, without a path")
		}
		list = append(list, part)
	}
	*v.to = list
	return nil
}
