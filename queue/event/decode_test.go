package event

import (
	"errors"
	"testing"
)

// checkError wants an *Error with that reason and field.
func checkError(t *testing.T, what string, err error, reason Reason, field string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Reason != reason || e.Field != field {
		t.Errorf("%.80q: got error %v, want %s of field %q", what, err, reason, field)
	}
}
