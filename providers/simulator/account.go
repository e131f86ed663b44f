package simulator

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	accountShards = 64
	// keptReceipts bounds the receipts kept of one token; later ones are counted only.
	keptReceipts = 16
	// DefaultMaxTokens bounds the tokens of an Account.
	DefaultMaxTokens = 20_000_000
)

// Receipt is one accepted push.
type Receipt struct {
	At    time.Time `json:"at"`
	Topic string    `json:"topic"` // APNs: the topic; FCM: the project
}

// Account is what a server can testify: which tokens it accepted pushes for, when, and how often it gave each answer.
// A push counts as accepted when the server begins to answer so, whether or not the answer reaches the client. One that a
// GOAWAY leaves out while its answer is still delayed does not count: the server has said that it did nothing with it.
// Several servers may share one. It is safe for concurrent use.
//
// It is bounded: 16 receipts are kept of a token, and DefaultMaxTokens tokens; what is beyond is counted, not kept. One made
// by NewCounter keeps none at all.
type Account struct {
	counts    bool // and keeps nothing
	accepted  atomic.Uint64
	tokens    atomic.Int64
	forgotten atomic.Uint64 // accepted pushes of tokens beyond the bound
	shards    [accountShards]accountShard
	topics    topicNames

	answersMu sync.Mutex
	answers   map[string]uint64
}

type accountShard struct {
	mu     sync.Mutex
	tokens map[string]*tokenAccount
}

type tokenAccount struct {
	asked    int // requests for this token, accepted or not
	accepted int
	receipts []receipt
}

// receipt is a Receipt in 16 bytes.
type receipt struct {
	at    int64 // nanoseconds since 1970
	topic uint32
}

var accountSeed = maphash.MakeSeed()

// NewAccount returns an empty account.
func NewAccount() *Account {
	a := &Account{answers: make(map[string]uint64)}
	a.topics.ids = make(map[string]uint32)
	for i := range a.shards {
		a.shards[i].tokens = make(map[string]*tokenAccount)
	}
	return a
}

// NewCounter returns an account that only counts: it knows no token and no attempt, and grows with nothing.
func NewCounter() *Account { return &Account{counts: true, answers: make(map[string]uint64)} }

// Count is the number of pushes accepted.
func (a *Account) Count() uint64 { return a.accepted.Load() }

// Tokens is the number of distinct tokens asked for.
func (a *Account) Tokens() int { return int(a.tokens.Load()) }

// Forgotten is the number of accepted pushes that are in Count but not kept, because DefaultMaxTokens was reached.
func (a *Account) Forgotten() uint64 { return a.forgotten.Load() }

// At returns when pushes for the token were accepted, oldest first, and the first 16 at most.
func (a *Account) At(token string) []time.Time {
	var times []time.Time
	for _, r := range a.Receipts(token) {
		times = append(times, r.At)
	}
	return times
}

// Receipts returns the accepted pushes of a token, oldest first, and the first 16 at most.
func (a *Account) Receipts(token string) []Receipt {
	s := a.shard(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[token]
	if t == nil {
		return nil
	}
	return a.receiptsOf(t)
}

// Accepted is how often a push for the token was accepted.
func (a *Account) Accepted(token string) int {
	s := a.shard(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[token]; t != nil {
		return t.accepted
	}
	return 0
}

// Snapshot copies the accepted pushes of all tokens.
func (a *Account) Snapshot() map[string][]Receipt {
	all := make(map[string][]Receipt, a.Tokens())
	for i := range a.shards {
		a.shards[i].copyTo(all, a)
	}
	return all
}

func (s *accountShard) copyTo(all map[string][]Receipt, a *Account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, t := range s.tokens {
		if t.accepted > 0 {
			all[token] = a.receiptsOf(t)
		}
	}
}

// Answers counts the answers given, by what they said: "200", "410 Unregistered", "reset REFUSED_STREAM", "silent", …
func (a *Account) Answers() map[string]uint64 {
	a.answersMu.Lock()
	defer a.answersMu.Unlock()
	all := make(map[string]uint64, len(a.answers)+1)
	for k, v := range a.answers {
		all[k] = v
	}
	if n := a.accepted.Load(); n > 0 {
		all["200"] = n
	}
	return all
}

// accountJSON is the form in which an account leaves the process.
type accountJSON struct {
	Accepted  uint64               `json:"accepted"`
	Forgotten uint64               `json:"forgotten"`
	Answers   map[string]uint64    `json:"answers"`
	Tokens    map[string][]Receipt `json:"tokens,omitempty"`
}

// WriteTo writes the account as one JSON object: accepted, forgotten, answers and tokens, each token with its receipts.
func (a *Account) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	err := json.NewEncoder(c).Encode(accountJSON{a.Count(), a.Forgotten(), a.Answers(), a.Snapshot()})
	if err != nil {
		return c.n, fmt.Errorf("write account: %w", err)
	}
	return c.n, nil
}

// ServeHTTP answers GET with the account as WriteTo writes it; "?summary" leaves the tokens out, "?token=<token>" has that one only.
func (a *Account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	q := r.URL.Query()
	out := accountJSON{Accepted: a.Count(), Forgotten: a.Forgotten(), Answers: a.Answers()}
	switch {
	case q.Has("token"):
		out.Tokens = map[string][]Receipt{q.Get("token"): a.Receipts(q.Get("token"))}
	case !q.Has("summary"):
		out.Tokens = a.Snapshot()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the reader left; there is nobody to tell
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// ask notes a request for the token and returns how many came before.
func (a *Account) ask(token string) int {
	if a.counts {
		return 0
	}
	s := a.shard(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := a.entry(s, token)
	if t == nil {
		return 0
	}
	t.asked++
	return t.asked - 1
}

// accept notes an accepted push and returns how many of the token there are now; 0 if it is beyond the bound.
func (a *Account) accept(token, topic string, at time.Time) int {
	a.accepted.Add(1)
	if a.counts {
		a.forgotten.Add(1)
		return 0
	}
	id := a.topics.id(topic)
	s := a.shard(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	t := a.entry(s, token)
	if t == nil {
		a.forgotten.Add(1)
		return 0
	}
	t.accepted++
	if len(t.receipts) < keptReceipts {
		t.receipts = append(t.receipts, receipt{at.UnixNano(), id})
	}
	return t.accepted
}

// entry returns the token's account, or nil when the bound is reached; s.mu is held.
func (a *Account) entry(s *accountShard, token string) *tokenAccount {
	t := s.tokens[token]
	if t != nil {
		return t
	}
	if a.tokens.Load() >= DefaultMaxTokens {
		return nil
	}
	a.tokens.Add(1)
	t = &tokenAccount{}
	s.tokens[token] = t
	return t
}

// count notes an answer other than 200.
func (a *Account) count(answer string) {
	a.answersMu.Lock()
	a.answers[answer]++
	a.answersMu.Unlock()
}

func (a *Account) shard(token string) *accountShard {
	return &a.shards[maphash.String(accountSeed, token)%accountShards]
}

func (a *Account) receiptsOf(t *tokenAccount) []Receipt {
	out := make([]Receipt, len(t.receipts))
	for i, r := range t.receipts {
		out[i] = Receipt{time.Unix(0, r.at), a.topics.name(r.topic)}
	}
	return out
}

// topicNames numbers the topics, of which there are few, so that a receipt needs no string.
type topicNames struct {
	mu    sync.RWMutex
	ids   map[string]uint32
	names []string
}

func (t *topicNames) id(topic string) uint32 {
	t.mu.RLock()
	id, ok := t.ids[topic]
	t.mu.RUnlock()
	if ok {
		return id
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if id, ok := t.ids[topic]; ok {
		return id
	}
	id = uint32(len(t.names))
	t.ids[topic] = id
	t.names = append(t.names, topic)
	return id
}

func (t *topicNames) name(id uint32) string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.names[id]
}
