package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestAccountCountsWhatItDoesNotKeep(t *testing.T) {
	t.Parallel()
	a := NewAccount()
	start := time.Unix(1_700_000_000, 123)
	for i := range 3 * keptReceipts {
		a.accept("token", fmt.Sprintf("topic%d", i%2), start.Add(time.Duration(i)*time.Second))
	}
	got := a.Receipts("token")
	if len(got) != keptReceipts || a.Accepted("token") != 3*keptReceipts || a.Count() != 3*keptReceipts {
		t.Errorf("%d receipts, %d accepted, %d in all", len(got), a.Accepted("token"), a.Count())
	}
	if !got[1].At.Equal(start.Add(time.Second)) || got[1].Topic != "topic1" || !a.At("token")[0].Equal(start) {
		t.Errorf("second receipt %v", got[1])
	}
	if a.Receipts("other") != nil || a.Accepted("other") != 0 {
		t.Error("an unknown token has receipts")
	}
	a.tokens.Store(DefaultMaxTokens)
	a.accept("one too many", "topic0", start)
	if a.Receipts("one too many") != nil || a.Forgotten() != 1 || a.Count() != 3*keptReceipts+1 {
		t.Error("the bound on tokens does not hold, or its loss is not counted")
	}
}

func TestAccountIsSafeForManyConnections(t *testing.T) {
	t.Parallel()
	a := NewAccount()
	var work sync.WaitGroup
	for w := range 8 {
		work.Go(func() {
			for i := range 500 {
				token := fmt.Sprint(i)
				a.ask(token)
				a.accept(token, fmt.Sprint(w), time.Now())
				a.count("503 ServiceUnavailable")
			}
		})
	}
	work.Wait()
	if a.Count() != 4000 || a.Tokens() != 500 || len(a.Snapshot()) != 500 || len(a.At("7")) != 8 || a.ask("7") != 8 {
		t.Errorf("%d accepted of %d tokens", a.Count(), a.Tokens())
	}
	if n := a.Answers(); n["200"] != 4000 || n["503 ServiceUnavailable"] != 4000 {
		t.Errorf("answers %v", n)
	}
}

func TestAccountLeavesTheProcessAsJSON(t *testing.T) {
	t.Parallel()
	a := NewAccount()
	at := time.Unix(1_700_000_000, 5).UTC()
	a.accept("aa", "topic", at)
	a.accept("bb", "topic", at)
	a.ask("cc")
	a.count("410 Unregistered")
	var whole bytes.Buffer
	if n, err := a.WriteTo(&whole); err != nil || n != int64(whole.Len()) {
		t.Fatal(n, err)
	}
	for query, want := range map[string]int{"": 2, "?summary": 0, "?token=aa": 1} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", "/"+query, nil))
		var got accountJSON
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Tokens) != want || got.Accepted != 2 || got.Answers["410 Unregistered"] != 1 {
			t.Errorf("%q: %+v", query, got)
		}
		if want > 0 && !got.Tokens["aa"][0].At.Equal(at) {
			t.Errorf("%q: receipt %v", query, got.Tokens["aa"])
		}
		if query == "" && w.Body.String() != whole.String() {
			t.Error("ServeHTTP and WriteTo differ")
		}
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	if w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestWhoeverWantsToKnowIsToldOfAcceptedPushesAlone(t *testing.T) {
	t.Parallel()
	var told []string
	srv := startAPNs(t, APNsConfig{
		Answer: func(r Request) Answer {
			if r.Attempt == 0 {
				return Answer{Reason: "TooManyRequests"}
			}
			return Answer{}
		},
		Accepted: func(token string, r Receipt, n int) {
			told = append(told, fmt.Sprint(token, " ", r.Topic, " ", r.At.IsZero(), " ", n))
		},
	})
	client := newClient(t, pushCertificate(t, mdmTopic, PushOptions{}))
	for range 3 {
		mustDo(t, client, mdmRequest(srv, "aabb"))
	}
	if err := srv.Close(); err != nil { // and so nobody tells any more
		t.Fatal(err)
	}
	if want := []string{"aabb " + mdmTopic + " false 1", "aabb " + mdmTopic + " false 2"}; !slices.Equal(told, want) {
		t.Errorf("it was told %q, want %q", told, want)
	}
}

func TestACounterKeepsNoTokens(t *testing.T) {
	t.Parallel()
	a := NewCounter()
	for range 3 {
		if attempt := a.ask("token"); attempt != 0 {
			t.Errorf("it knows %d attempts", attempt)
		}
		if n := a.accept("token", "topic", time.Now()); n != 0 {
			t.Errorf("it keeps the push as number %d", n)
		}
	}
	if a.Count() != 3 || a.Forgotten() != 3 || a.Tokens() != 0 || a.Receipts("token") != nil || len(a.Snapshot()) != 0 || a.Answers()["200"] != 3 {
		t.Errorf("%d counted, %d forgotten, %d tokens, receipts %v", a.Count(), a.Forgotten(), a.Tokens(), a.Receipts("token"))
	}
}
