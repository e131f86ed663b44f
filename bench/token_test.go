package main

import (
	"strings"
	"testing"
)

func TestEachTokenIsAnother(t *testing.T) {
	t.Parallel()
	apns, fcm := map[string]bool{}, map[string]bool{}
	for worker := range uint64(8) {
		for i := range uint64(1000) {
			n := worker<<40 + i
			apns[apnsToken(n)], fcm[fcmToken(n)] = true, true
		}
	}
	if len(apns) != 8000 || len(fcm) != 8000 {
		t.Errorf("8000 numbers make %d APNs and %d FCM tokens", len(apns), len(fcm))
	}
	for token := range apns {
		if len(token) != tokenLength || strings.Trim(token, hexDigits) != "" {
			t.Fatalf("%q is no token of APNs", token)
		}
	}
}
