package providers

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is all that a Secret ever shows.
const redacted = "<redacted>"

// Secret keeps a value out of logs, traces, dumps of the configuration and error texts: however it is printed or
// encoded, it shows "<redacted>". Only Reveal gives the value. The zero Secret holds the zero value.
//
// The value stands behind a pointer, so that even fmt, which cannot call methods on unexported fields, prints an
// address and not the value.
type Secret[T any] struct {
	value *T
}

// NewSecret hides value.
func NewSecret[T any](value T) Secret[T] { return Secret[T]{value: &value} }

// Reveal gives the value to the one place that needs it.
func (s Secret[T]) Reveal() T {
	if s.value == nil {
		var none T
		return none
	}
	return *s.value
}

func (s Secret[T]) String() string   { return redacted }
func (s Secret[T]) GoString() string { return redacted }

// Format answers every verb: without it fmt would print the fields for a verb that does not suit a string.
func (s Secret[T]) Format(state fmt.State, _ rune) { io.WriteString(state, redacted) }

func (s Secret[T]) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (s Secret[T]) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s Secret[T]) MarshalYAML() (any, error)    { return redacted, nil }
func (s Secret[T]) LogValue() slog.Value         { return slog.StringValue(redacted) }
