package connection

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// maxBody bounds what is read of an answer, in bytes: APNs and FCM answer in fewer than 2000.
const maxBody = 4 << 10

// Exchange is one request and what came of it: an answer, or a Failure. The libraries that build requests lose parts of
// it (apns2 the status of an answer that is not JSON, and milliseconds; the Firebase SDK the cause of a failure), and
// would repeat some requests by their own rules, so they are told of success always, and the Exchange has the truth.
type Exchange struct {
	Status  int // 0 where no answer came
	Header  http.Header
	Body    []byte // cut at 4 kB
	Failure *Failure

	Authorization string // what the request was sent with, where Options.Authorization is set
	connection    *pooled
}

type exchangeKey struct{}

// Context returns a context that makes Pool.RoundTrip fill the exchange.
func (e *Exchange) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, exchangeKey{}, e)
}

// Retire lets the connection that answered take no more requests: what is sent again goes out on another.
func (e *Exchange) Retire() {
	if e.connection != nil {
		e.connection.pool.retire(e.connection)
	}
}

// RoundTrip sends a request whose context was made by Exchange.Context. What came of it is in the Exchange; the
// response is always an empty success, and the error nil.
func (p *Pool) RoundTrip(request *http.Request) (*http.Response, error) {
	exchange := request.Context().Value(exchangeKey{}).(*Exchange)
	*exchange = Exchange{}
	p.exchange(request, exchange)
	return &http.Response{
		Status:     "200 OK",
		StatusCode: http.StatusOK,
		Header:     make(http.Header),
		Body:       io.NopCloser(strings.NewReader("{}")),
		Request:    request,
	}, nil
}

func (p *Pool) exchange(request *http.Request, exchange *Exchange) {
	c, failure := p.acquire(request.Context())
	if failure != nil {
		exchange.Failure = failure
		closeBody(request)
		return
	}
	exchange.connection = c
	if exchange.Authorization = c.authorization; exchange.Authorization != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", exchange.Authorization)
	}
	begin := time.Now()
	exchange.over(c, request)
	p.release(c, begin, exchange.Failure)
	if exchange.Failure == nil {
		p.options.Metrics.SendDuration.WithLabelValues(p.options.Provider).Observe(time.Since(begin).Seconds())
	}
}

// over sends the request over a connection and reads the answer.
func (e *Exchange) over(c *pooled, request *http.Request) {
	response, err := c.client.RoundTrip(request)
	if err != nil {
		e.Failure = streamFailure(err, c.tap)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil && response.StatusCode != http.StatusOK {
		e.Failure = streamFailure(err, c.tap)
		return
	}
	e.Status, e.Header, e.Body = response.StatusCode, response.Header, body
}

// closeBody does what RoundTrip owes the caller where the request is not sent.
func closeBody(request *http.Request) {
	if request.Body != nil {
		request.Body.Close()
	}
}
